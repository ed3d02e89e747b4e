/** A policy as libreswan's `ipsec.conf` and `ipsec.secrets`. */
import { type EncryptionId, encryption, type GroupId, type HashId } from '../../crypto/algorithms.js';
import { printMainModeMethod } from '../ipsecpol/security-method.js';
import {
  type KeyExchangeSettings,
  type MainModeMethod,
  type Policy,
  policyDefaults,
  type SecurityMethod,
} from '../model.js';
import { NoteBook } from '../note.js';
import {
  commentText,
  type Exported,
  type ExportOptions,
  keyBytes,
  keyPlaceholder,
  SectionNames,
} from './exported.js';
import { type FlowAddress, type FlowEnd, flowFamily, flowPrefix } from './flow.js';
import { type PlannedChild, type PlannedConnection, type PlannedShunt, planPolicy } from './plan.js';
import {
  groupName,
  isModp,
  lifetimeOf,
  noteExtendedSequence,
  noteKilobytes,
  oneProtocol,
  pfsGroup,
} from './proposals.js';

/** What libreswan 4 has: neither single DES nor the groups that anyone can break. */
const ciphers: Readonly<Partial<Record<EncryptionId, string>>> = {
  '3des': '3des',
  aes128: 'aes128',
  aes192: 'aes192',
  aes256: 'aes256',
  aes128gcm: 'aes_gcm128',
  aes192gcm: 'aes_gcm192',
  aes256gcm: 'aes_gcm256',
  null: 'null',
};
const hashes: Readonly<Record<HashId, string>> = {
  md5: 'md5',
  sha1: 'sha1',
  sha256: 'sha2_256',
  sha384: 'sha2_384',
  sha512: 'sha2_512',
};
const missingGroups: readonly GroupId[] = [1, 2];

type Settings = readonly (readonly [name: string, value: string | undefined])[];

/** The configuration of one policy. It is for the computer the policy is for. */
export function exportLibreswan(policy: Policy, options: ExportOptions): Exported {
  const book = new NoteBook(`policy '${policy.name}'`);
  const methods = policy.keyExchange.methods.filter(method => {
    const usable = supportsMainMode(method);
    if (!usable)
      book.add('dropped', `main mode method ${printMainModeMethod(method)}: libreswan has no such`);
    return usable;
  });
  const settings = { ...policy.keyExchange, methods };
  const supportsMethod = (method: SecurityMethod) => methods.length > 0 && supports(method, settings);
  const plan = planPolicy(policy, options.localAddresses, { supportsMethod }, book);
  const names = new SectionNames();
  const text = [
    `# IP Security policy '${commentText(policy.name)}', by ipseckit policy export --format libreswan`,
    '',
    'config setup',
    '\tikev1-policy=accept',
    ...plan.connections.flatMap(one =>
      one.children.flatMap(child =>
        conn(
          names.unique(child.name),
          childSettings(child, one, settings, book.in(`connection ${child.name}`)),
        ),
      ),
    ),
    ...plan.shunts.flatMap(one =>
      shuntSettings(one, book).flatMap(each => conn(names.unique(one.name), each)),
    ),
    '',
  ].join('\n');
  const keys = secrets(plan.connections, options, book);
  return {
    files: [
      { name: 'ipsec.conf', suffix: '', text, secret: false },
      { name: 'ipsec.secrets', suffix: '.secrets', text: keys, secret: true },
    ],
    notes: book.notes,
  };
}

function supportsMainMode({ encryption: cipher, group }: MainModeMethod): boolean {
  return ciphers[cipher] !== undefined && !missingGroups.includes(group);
}

function supports({ ah, esp, pfs }: SecurityMethod, settings: KeyExchangeSettings): boolean {
  if (ah !== undefined && esp !== undefined) return false;
  if (pfs !== undefined && !forPfs(settings, pfs.group).some(hasPfsGroup)) return false;
  if (esp === undefined) return ah !== undefined;
  return (
    ciphers[esp.encryption] !== undefined &&
    (esp.hash !== undefined || encryption(esp.encryption).tagBytes !== undefined)
  );
}

/** The groups a method's PFS may have. */
function forPfs({ methods }: KeyExchangeSettings, group: GroupId | undefined): GroupId[] {
  return group === undefined ? methods.map(method => method.group) : [group];
}

/** IKEv1 of libreswan does PFS with no elliptic curve. */
function hasPfsGroup(group: GroupId): boolean {
  return isModp(group) && !missingGroups.includes(group);
}

function conn(name: string, settings: Settings): string[] {
  return [
    '',
    `conn ${name}`,
    ...settings.flatMap(([key, value]) => (value === undefined ? [] : [`\t${key}=${value}`])),
  ];
}

function childSettings(
  child: PlannedChild,
  parent: PlannedConnection,
  settings: KeyExchangeSettings,
  book: NoteBook,
): Settings {
  const { protocol, methods } = oneProtocol(child.methods, book);
  noteExtendedSequence(methods, 'libreswan', book);
  noteKilobytes(methods, 'libreswan', book);
  const lifetime = lifetimeOf(methods, book);
  const usable = { ...settings, methods: settings.methods.filter(({ group }) => hasPfsGroup(group)) };
  const groups = new Set(methods.map(method => pfsGroup(method, usable, book)));
  if (groups.size > 1) book.add('changed', 'all its security methods have the PFS of the first');
  const [pfs] = groups;
  const isTunnel = child.mode === 'tunnel';
  const answersOnly = parent.responderOnly || parent.remote.kind !== 'host';
  if (answersOnly && !parent.responderOnly)
    book.add(
      'dropped',
      'negotiating with any peer of a range: libreswan only answers there, and what this computer begins stays in clear',
    );
  const isCertificate = parent.authentication.kind === 'certificate';
  const remote = parent.remote.kind === 'subnet' ? ({ kind: 'any' } as const) : parent.remote;
  return [
    ['type', child.mode],
    ['ikev2', 'no'],
    ['authby', isCertificate ? 'rsasig' : 'secret'],
    ...wordFamily(parent),
    ['left', parent.local.kind === 'host' ? parent.local.address : '%defaultroute'],
    ['right', remote.kind === 'host' ? remote.address : '%any'],
    ...(isCertificate
      ? ([
          ['leftcert', 'this-computer'],
          ['rightid', '%fromcert'],
          [
            'rightca',
            quoted(parent.authentication.kind === 'certificate' ? parent.authentication.authority : ''),
          ],
        ] as const)
      : []),
    ['leftsubnet', isTunnel ? subnet(child.local.address, child.remote.address) : undefined],
    ['rightsubnet', isTunnel ? subnet(child.remote.address, child.local.address) : undefined],
    ['leftprotoport', protoPort(child.local, child.protocol)],
    ['rightprotoport', protoPort(child.remote, child.protocol)],
    ['ike', settings.methods.map(ikeProposal).join(',')],
    ['phase2', protocol === 'ah' ? 'ah' : undefined],
    [protocol, methods.map(method => childProposal(method, protocol, pfs)).join(',')],
    ['pfs', pfs === undefined ? 'no' : 'yes'],
    ['ikelifetime', `${settings.lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds}s`],
    ['salifetime', `${lifetime.seconds}s`],
    ['auto', answersOnly ? 'add' : 'ondemand'],
  ];
}

/** `%defaultroute` and `%any` are IPv4 unless it says otherwise. */
function wordFamily({ local, remote }: PlannedConnection): Settings {
  const isWord = local.kind !== 'host' || remote.kind !== 'host';
  const family = flowFamily(local) ?? flowFamily(remote);
  return isWord && family === 6 ? [['hostaddrfamily', 'ipv6']] : [];
}

/** One connection a family where an address is a word for both. */
function shuntSettings(one: PlannedShunt, book: NoteBook): Settings[] {
  if (one.way !== 'both')
    book.add('changed', `the one-way filters of traffic to ${one.action} cover both ways in libreswan`);
  const family = flowFamily(one.local.address) ?? flowFamily(one.remote.address);
  if (one.local.address.kind === 'me' && family === 6) {
    book.add('dropped', `'${one.name}': libreswan has no word for this computer's IPv6 addresses`);
    return [];
  }
  const isMe = one.local.address.kind === 'me';
  if (isMe && family === undefined)
    book.add(
      'dropped',
      `'${one.name}' holds for IPv4 only: libreswan has no word for this computer's IPv6 addresses`,
    );
  return [
    [
      ['type', one.action === 'pass' ? 'passthrough' : 'drop'],
      ['authby', 'never'],
      ['left', isMe ? '%defaultroute' : family === 6 ? '::1' : '127.0.0.1'],
      ['right', family === 6 ? '::' : '0.0.0.0'],
      ['leftsubnet', isMe ? undefined : subnet(one.local.address, one.remote.address)],
      ['rightsubnet', subnet(one.remote.address, one.local.address)],
      ['leftprotoport', protoPort(one.local, one.protocol)],
      ['rightprotoport', protoPort(one.remote, one.protocol)],
      ['auto', 'ondemand'],
    ],
  ];
}

/** Numbers for `any`, of the family the other side has. */
function subnet(address: FlowAddress, other: FlowAddress): string | undefined {
  if (address.kind === 'any') return flowFamily(other) === 6 ? '::/0' : '0.0.0.0/0';
  return flowPrefix(address);
}

function protoPort({ port }: FlowEnd, protocol: number): string | undefined {
  return protocol === 0 ? undefined : `${protocol}/${port === 0 ? '%any' : port}`;
}

function ikeProposal({ encryption: cipher, hash, group }: MainModeMethod): string {
  return `${ciphers[cipher]}-${hashes[hash]}-${dhName(group)}`;
}

/** The group stands behind a semicolon: a combined-mode cipher has no hash to tell it from. */
function childProposal(
  { ah, esp }: SecurityMethod,
  protocol: 'esp' | 'ah',
  pfs: GroupId | undefined,
): string {
  const hash = protocol === 'ah' ? ah?.hash : esp?.hash;
  const words = [
    protocol === 'esp' && esp !== undefined ? ciphers[esp.encryption] : undefined,
    hash && hashes[hash],
  ];
  return `${words.filter(word => word !== undefined).join('-')}${pfs === undefined ? '' : `;${dhName(pfs)}`}`;
}

function dhName(id: GroupId): string {
  return isModp(id) ? groupName(id) : `dh${id}`;
}

function secrets(connections: readonly PlannedConnection[], options: ExportOptions, book: NoteBook): string {
  const lines = [`# Preshared keys, by ipseckit policy export --format libreswan`];
  const byPeer = new Map<string, string>();
  for (const { local, remote, authentication } of connections) {
    if (authentication.kind !== 'preshared') continue;
    const ids = [local, remote].map(side => (side.kind === 'host' ? side.address : '%any'));
    const peer = ids.join(' ');
    const key = authentication.key.reveal();
    if (byPeer.has(peer) && byPeer.get(peer) !== key)
      book.add('dropped', `a second preshared key for ${peer}: main mode finds one by address`);
    if (byPeer.has(peer)) continue;
    byPeer.set(peer, key);
    const bytes = keyBytes(authentication.key, options);
    lines.push(
      `${peer} : PSK ${bytes === undefined ? `"${keyPlaceholder}"` : /^[\w .,:;/+-]+$/.test(key) ? `"${key}"` : `0s${bytes.toString('base64')}`}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\p{Cc}]/gu, ' ')}"`;
}
