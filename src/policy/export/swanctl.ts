/** A policy as strongSwan's `swanctl.conf`. */
import { encryption } from '../../crypto/algorithms.js';
import { type KeyExchangeSettings, type Policy, policyDefaults, type SecurityMethod } from '../model.js';
import { NoteBook } from '../note.js';
import { printIkeProposal } from '../proposals.js';
import {
  commentText,
  type Exported,
  type ExportOptions,
  keyBytes,
  keyPlaceholder,
  SectionNames,
} from './exported.js';
import { type FlowAddress, type FlowEnd, flowPrefix } from './flow.js';
import {
  type Plan,
  type PlannedChild,
  type PlannedConnection,
  type PlannedShunt,
  planPolicy,
} from './plan.js';
import { groupName, lifetimeOf, oneProtocol, pfsGroup, rekeyAt } from './proposals.js';
import { shuntPriorities } from './specificity.js';

/** A section or a setting, indented by its depth. */
type Lines = readonly string[];

/** The configuration of one policy. It is for the computer the policy is for. */
export function exportSwanctl(policy: Policy, options: ExportOptions): Exported {
  const book = new NoteBook(`policy '${policy.name}'`);
  // One proposal cannot be AH and ESP at once.
  const supportsMethod = ({ ah, esp }: SecurityMethod) => ah === undefined || esp === undefined;
  const plan = planPolicy(policy, options.localAddresses, { supportsMethod }, book);
  const text = [
    `# IP Security policy '${commentText(policy.name)}', by ipseckit policy export --format swanctl`,
    ...section('connections', [
      ...plan.connections.flatMap(each =>
        connection(each, plan.keyExchange, book.in(`connection ${each.name}`)),
      ),
      ...shunts(plan, book),
    ]),
    ...section('secrets', secrets(plan.connections, options, book)),
    '',
  ].join('\n');
  return { files: [{ name: 'swanctl.conf', suffix: '', text, secret: true }], notes: book.notes };
}

function connection(one: PlannedConnection, settings: KeyExchangeSettings, book: NoteBook): Lines {
  const remote = addressText(one.remote);
  const lifetimeSeconds = settings.lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds;
  return section(one.name, [
    'version = 1',
    ...(one.local.kind === 'host' ? [`local_addrs = ${one.local.address}`] : []),
    `remote_addrs = ${remote}`,
    `proposals = ${settings.methods.map(printIkeProposal).join(',')}`,
    `rekey_time = ${rekeyAt(lifetimeSeconds)}s`,
    `over_time = ${lifetimeSeconds - rekeyAt(lifetimeSeconds)}s`,
    'rand_time = 0s',
    ...section('local', [one.authentication.kind === 'preshared' ? 'auth = psk' : 'auth = pubkey']),
    ...section('remote', remoteAuthentication(one)),
    ...section(
      'children',
      one.children.flatMap(each => child(each, one, settings, book.in(`child ${each.name}`))),
    ),
  ]);
}

function remoteAuthentication({ authentication }: PlannedConnection): Lines {
  if (authentication.kind === 'preshared') return ['auth = psk'];
  return ['auth = pubkey', `ca_id = ${quoted(authentication.authority)}`];
}

function child(
  one: PlannedChild,
  parent: PlannedConnection,
  settings: KeyExchangeSettings,
  book: NoteBook,
): Lines {
  const { protocol, methods } = oneProtocol(one.methods, book);
  const lifetime = lifetimeOf(methods, book);
  const proposals = methods.map(method => proposal(method, protocol, settings, book));
  return section(one.name, [
    `mode = ${one.mode}`,
    `local_ts = ${selector(one.local, one.protocol, one.mode === 'tunnel' ? undefined : parent.local)}`,
    `remote_ts = ${selector(one.remote, one.protocol, one.mode === 'tunnel' ? undefined : parent.remote)}`,
    `${protocol}_proposals = ${proposals.join(',')}`,
    `life_time = ${lifetime.seconds}s`,
    `rekey_time = ${rekeyAt(lifetime.seconds)}s`,
    `life_bytes = ${lifetime.bytes}`,
    `rekey_bytes = ${rekeyAt(lifetime.bytes)}`,
    ...(parent.responderOnly || (one.mode === 'tunnel' && parent.remote.kind === 'any')
      ? []
      : ['start_action = trap']),
  ]);
}

function proposal(
  method: SecurityMethod,
  protocol: 'esp' | 'ah',
  settings: KeyExchangeSettings,
  book: NoteBook,
): string {
  const pfs = pfsGroup(method, settings, book);
  const words =
    protocol === 'ah'
      ? [method.ah?.hash]
      : [method.esp && cipherName(method.esp.encryption), method.esp?.hash];
  return [
    ...words,
    pfs === undefined ? undefined : groupName(pfs),
    method.extendedSequence ? 'esn' : undefined,
  ]
    .filter(word => word !== undefined)
    .join('-');
}

function cipherName(id: NonNullable<SecurityMethod['esp']>['encryption']): string {
  return encryption(id).tagBytes === undefined ? id : `${id}16`;
}

/** Traffic that passes or is dropped needs no peer: one connection holds it all. */
function shunts(plan: Plan, book: NoteBook): Lines {
  if (plan.shunts.length === 0) return [];
  const priorities = shuntPriorities(plan, book);
  return section(
    new SectionNames().unique(`${plan.name} shunts`),
    section(
      'children',
      plan.shunts.flatMap((each, i) => shunt(each, priorities[i], book)),
    ),
  );
}

function shunt(one: PlannedShunt, priority: number | undefined, book: NoteBook): Lines {
  if (one.way !== 'both')
    book.add('changed', `the one-way filters of traffic to ${one.action} cover both ways in strongSwan`);
  if (one.local.address.kind === 'me')
    book.add('changed', `traffic to ${one.action} from this computer includes what it forwards`);
  return section(one.name, [
    `mode = ${one.action}`,
    `local_ts = ${selector(one.local, one.protocol)}`,
    `remote_ts = ${selector(one.remote, one.protocol)}`,
    ...(priority === undefined ? [] : [`priority = ${priority}`]),
    'start_action = trap',
  ]);
}

/** `dynamic` is whatever address the connection has; numbers otherwise. */
function selector({ address, port }: FlowEnd, protocol: number, ofConnection?: FlowAddress): string {
  const suffix = protocol === 0 ? '' : port === 0 ? `[${protocol}]` : `[${protocol}/${port}]`;
  const isPeer =
    address.kind === 'me' ||
    (address.kind === 'host' && ofConnection?.kind === 'host' && address.address === ofConnection.address);
  if (isPeer) return `dynamic${suffix}`;
  if (address.kind === 'any') return `0.0.0.0/0${suffix},::/0${suffix}`;
  return `${flowPrefix(address)}${suffix}`;
}

function addressText(address: FlowAddress): string {
  if (address.kind === 'host') return address.address;
  return flowPrefix(address) ?? '%any';
}

function secrets(connections: readonly PlannedConnection[], options: ExportOptions, book: NoteBook): Lines {
  const byPeer = new Map<string, string>();
  const names = new SectionNames();
  return connections.flatMap(({ name, remote, authentication }) => {
    if (authentication.kind !== 'preshared') return [];
    const peer = remote.kind === 'host' ? remote.address : 'any';
    const key = authentication.key.reveal();
    const other = byPeer.get(peer);
    if (other !== undefined) {
      if (other !== key)
        book.add(
          'dropped',
          `a second preshared key for ${peer === 'any' ? 'any peer' : peer}: main mode finds one by address`,
        );
      return [];
    }
    byPeer.set(peer, key);
    return section(names.unique(`ike-${name}`), [
      ...(remote.kind === 'host' ? [`id = ${remote.address}`] : []),
      `secret = ${secretText(keyBytes(authentication.key, options))}`,
    ]);
  });
}

/** Base64 unless the key is plain text that means itself. */
function secretText(key: Buffer | undefined): string {
  if (key === undefined) return quoted(keyPlaceholder);
  const text = key.toString('utf8');
  return /^[\x20-\x7e]+$/.test(text) && !/["\\#]|^0[xs]/.test(text)
    ? quoted(text)
    : `0s${key.toString('base64')}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replace(/\p{Cc}/gu, ' ')}"`;
}

function section(name: string, lines: Lines): Lines {
  return [`${name} {`, ...lines.map(line => `  ${line}`), '}'];
}
