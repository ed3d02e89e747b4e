/** A policy as racoon's `racoon.conf` and `psk.txt`, and the kernel policies `setkey` loads for it. */
import type { EncryptionId, HashId } from '../../crypto/algorithms.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { addressFamily } from '../../wire/ip/address.js';
import { printMainModeMethod } from '../ipsecpol/security-method.js';
import { type KeyExchangeSettings, type Policy, policyDefaults, type SecurityMethod } from '../model.js';
import { NoteBook } from '../note.js';
import { commentText, type Exported, type ExportOptions, keyBytes, keyPlaceholder } from './exported.js';
import { type Flow, type FlowAddress, type FlowEnd, flowFamily, flowPrefix } from './flow.js';
import { type PlannedChild, type PlannedConnection, planPolicy } from './plan.js';
import { isModp, lifetimeOf, noteExtendedSequence, noteKilobytes, pfsGroup } from './proposals.js';
import { specificityRanks } from './specificity.js';

/** racoon's words (racoon.conf(5)); it knows no combined-mode ciphers. */
const ciphers: Readonly<Partial<Record<EncryptionId, string>>> = {
  des: 'des',
  '3des': '3des',
  aes128: 'aes 128',
  aes192: 'aes 192',
  aes256: 'aes 256',
  null: 'null_enc',
};
const hashes: Readonly<Record<HashId, string>> = {
  md5: 'md5',
  sha1: 'sha1',
  sha256: 'sha256',
  sha384: 'sha384',
  sha512: 'sha512',
};

/** The configuration of one policy. It is for the computer the policy is for, whose addresses have to be known. */
export function exportRacoon(policy: Policy, options: ExportOptions): Exported {
  const book = new NoteBook(`policy '${policy.name}'`);
  const methods = policy.keyExchange.methods.filter(method => {
    const usable = isModp(method.group) && ciphers[method.encryption] !== undefined;
    if (!usable) book.add('dropped', `main mode method ${printMainModeMethod(method)}: racoon has no such`);
    return usable;
  });
  const settings = { ...policy.keyExchange, methods };
  const supportsMethod = (method: SecurityMethod) => methods.length > 0 && supports(method);
  const plan = planPolicy(policy, options.localAddresses, { supportsMethod }, book);
  const title = `# IP Security policy '${commentText(policy.name)}', by ipseckit policy export --format racoon`;
  const peers = uniquePeers(plan.connections, book);
  const conf = [
    title,
    'path pre_shared_key "/etc/racoon/psk.txt";',
    ...(peers.some(({ authentication }) => authentication.kind === 'certificate')
      ? ['path certificate "/etc/racoon/certs";']
      : []),
    ...peers.flatMap(one => remote(one, settings)),
    ...plan.connections.flatMap(one =>
      one.children.flatMap(child =>
        endPairs(child, options, book).flatMap(pair =>
          saInfo(child, pair, settings, book.in(`rule ${child.name}`)),
        ),
      ),
    ),
    '',
  ];
  const flows = [
    ...plan.connections.flatMap(one => one.children.map(flow => ({ flow, connection: one }))),
    ...plan.shunts.map(flow => ({ flow })),
  ];
  const ranks = specificityRanks(flows.map(({ flow }) => flow));
  // The kernel takes the first of those that match.
  const order = [...flows.entries()].sort(([a], [b]) => (ranks[a] ?? 0) - (ranks[b] ?? 0));
  const spd = [
    title,
    'flush;',
    'spdflush;',
    ...order.flatMap(([, each]) =>
      endPairs(each.flow, options, book).flatMap(pair =>
        'connection' in each
          ? secured(each.flow, each.connection, pair, options, book)
          : policies(each.flow, pair, () => (each.flow.action === 'pass' ? 'none' : 'discard')),
      ),
    ),
    '',
  ];
  return {
    files: [
      { name: 'racoon.conf', suffix: '', text: conf.join('\n'), secret: false },
      { name: 'psk.txt', suffix: '.psk', text: pskFile(peers, options), secret: true },
      { name: 'setkey.conf', suffix: '.setkey', text: spd.join('\n'), secret: false },
    ],
    notes: book.notes,
  };
}

function supports({ esp, ah, pfs }: SecurityMethod): boolean {
  if (esp === undefined && ah === undefined) return false;
  if (pfs?.group !== undefined && !isModp(pfs.group)) return false;
  return esp === undefined || ciphers[esp.encryption] !== undefined;
}

function remote(
  { remote: peer, local, authentication, responderOnly }: PlannedConnection,
  settings: KeyExchangeSettings,
): string[] {
  const isCertificate = authentication.kind === 'certificate';
  return [
    '',
    `remote ${peer.kind === 'host' ? peer.address : 'anonymous'} {`,
    '\texchange_mode main;',
    '\tproposal_check obey;',
    ...(responderOnly ? ['\tpassive on;', '\tgenerate_policy on;'] : []),
    ...(local.kind === 'host' ? [`\tmy_identifier address ${local.address};`] : []),
    ...(isCertificate ? ['\tcertificate_type x509 "this-computer.pem" "this-computer.key";'] : []),
    `\tlifetime time ${settings.lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds} sec;`,
    ...settings.methods.flatMap(method => [
      '\tproposal {',
      `\t\tencryption_algorithm ${ciphers[method.encryption]};`,
      `\t\thash_algorithm ${hashes[method.hash]};`,
      `\t\tauthentication_method ${isCertificate ? 'rsasig' : 'pre_shared_key'};`,
      `\t\tdh_group ${method.group};`,
      '\t}',
    ]),
    '}',
  ];
}

/** racoon offers every cipher with every hash of a `sainfo`. */
function saInfo(child: PlannedChild, pair: EndPair, settings: KeyExchangeSettings, book: NoteBook): string[] {
  const methods = likeTheFirst(child.methods, book);
  noteExtendedSequence(methods, 'racoon', book);
  noteKilobytes(methods, 'racoon', book);
  const lifetime = lifetimeOf(methods, book);
  const groups = new Set(methods.map(method => pfsGroup(method, settings, book)));
  if (groups.size > 1) book.add('changed', 'all its security methods have the PFS of the first');
  const [pfs] = groups;
  const encryptions = [...new Set(methods.map(({ esp }) => ciphers[esp?.encryption ?? 'null']))];
  const integrity = [...new Set(methods.flatMap(({ ah, esp }) => [ah?.hash, esp?.hash]))].filter(
    hash => hash !== undefined,
  );
  if (integrity.includes('sha256'))
    book.add(
      'advice',
      'where racoon runs on Linux, its hmac_sha256 is cut to 96 bits, not to 128 (RFC 4868): peers that cut to 128 get nothing',
    );
  const suites = methods.filter(({ esp }) => esp !== undefined);
  if (encryptions.length > 1 && encryptions.length * integrity.length > suites.length)
    book.add('changed', 'racoon offers each of its ciphers with each of its hashes');
  return [
    '',
    `sainfo address ${sainfoEnd(pair.local, child)} address ${sainfoEnd(pair.remote, child)} {`,
    ...(pfs === undefined ? [] : [`\tpfs_group ${pfs};`]),
    `\tlifetime time ${lifetime.seconds} sec;`,
    `\tencryption_algorithm ${encryptions.join(', ')};`,
    `\tauthentication_algorithm ${(integrity.length === 0 ? ['non_auth'] : integrity.map(hash => `hmac_${hashes[hash]}`)).join(', ')};`,
    '\tcompression_algorithm deflate;',
    '}',
  ];
}

function secured(
  child: PlannedChild,
  parent: PlannedConnection,
  pair: EndPair,
  options: ExportOptions,
  book: NoteBook,
): string[] {
  // racoon makes the policies of those it answers.
  if (parent.responderOnly) return [];
  const first = child.methods[0];
  const protocols = [
    ...(first?.esp === undefined ? [] : ['esp']),
    ...(first?.ah === undefined ? [] : ['ah']),
  ];
  const far = parent.remote.kind === 'host' ? parent.remote.address : undefined;
  // A tunnel of one family may carry the other.
  const near =
    parent.local.kind === 'host'
      ? parent.local.address
      : options.localAddresses.find(own => far !== undefined && addressFamily(own) === addressFamily(far));
  if (child.mode === 'tunnel' && (near === undefined || far === undefined)) {
    book.add('changed', `${child.name}: one end of the tunnel is not known, so its traffic is dropped`);
    return policies(child, pair, () => 'discard');
  }
  const level = (way: 'out' | 'in') =>
    `ipsec ${protocols.map(protocol => `${protocol}/${child.mode}/${child.mode === 'tunnel' ? (way === 'out' ? `${near}-${far}` : `${far}-${near}`) : ''}/require`).join(' ')}`;
  return policies({ ...child, way: 'both' }, pair, level);
}

/** The methods with the protocols of the first: the kernel's policy names them. */
function likeTheFirst(methods: readonly SecurityMethod[], book: NoteBook): SecurityMethod[] {
  const shape = ({ ah, esp }: SecurityMethod) => `${ah !== undefined} ${esp !== undefined}`;
  const [first] = methods;
  const kept = methods.filter(method => first !== undefined && shape(method) === shape(first));
  if (kept.length < methods.length) book.add('dropped', 'methods of other protocols than the first has');
  return kept;
}

interface EndPair {
  readonly local: FlowEnd;
  readonly remote: FlowEnd;
}

/** The ends in numbers: one pair for each own address and family. */
function endPairs(flow: Flow, { localAddresses }: ExportOptions, book: NoteBook): EndPair[] {
  const families = flowFamily(flow.local.address) ?? flowFamily(flow.remote.address);
  const numbers = ({ address, port }: FlowEnd): FlowEnd[] => {
    if (address.kind === 'me') {
      const own = localAddresses.filter(each => families === undefined || addressFamily(each) === families);
      if (own.length === 0) book.add('dropped', 'traffic of this computer, none of whose addresses is known');
      return own.map(each => ({ address: { kind: 'host', address: each }, port }));
    }
    if (address.kind !== 'any') return [{ address, port }];
    const all: FlowAddress[] = [
      { kind: 'subnet', address: '0.0.0.0' as IpAddress, prefixLength: 0 },
      { kind: 'subnet', address: '::' as IpAddress, prefixLength: 0 },
    ];
    return all.map(each => ({ address: each, port }));
  };
  const hasIpv6 = localAddresses.some(each => addressFamily(each) === 6) || families === 6;
  return numbers(flow.local).flatMap(local =>
    numbers(flow.remote).flatMap(remote => {
      const family = flowFamily(local.address);
      return family === flowFamily(remote.address) && (family === 4 || hasIpv6) ? [{ local, remote }] : [];
    }),
  );
}

/** `spdadd` lines for each way a flow covers. */
function policies(flow: Flow, { local, remote }: EndPair, level: (way: 'out' | 'in') => string): string[] {
  const protocol = flow.protocol === 0 ? 'any' : String(flow.protocol);
  const end = ({ address, port }: FlowEnd) => `${flowPrefix(address)}[${port === 0 ? 'any' : port}]`;
  return [
    ...(flow.way === 'in' ? [] : [`spdadd ${end(local)} ${end(remote)} ${protocol} -P out ${level('out')};`]),
    ...(flow.way === 'out' ? [] : [`spdadd ${end(remote)} ${end(local)} ${protocol} -P in ${level('in')};`]),
  ];
}

function sainfoEnd({ address, port }: FlowEnd, { protocol }: Flow): string {
  return `${flowPrefix(address)}[${port === 0 ? 'any' : port}] ${protocol === 0 ? 'any' : protocol}`;
}

/** One `remote` section for each peer: the first rule's authentication counts. */
function uniquePeers(connections: readonly PlannedConnection[], book: NoteBook): PlannedConnection[] {
  const byPeer = new Map<string, PlannedConnection>();
  for (const one of connections) {
    const peer = one.remote.kind === 'host' ? one.remote.address : 'anonymous';
    if (byPeer.has(peer))
      book.add('dropped', `a second way to authenticate with ${peer}: racoon has one for a peer`);
    else byPeer.set(peer, one);
  }
  return [...byPeer.values()];
}

function pskFile(peers: readonly PlannedConnection[], options: ExportOptions): string {
  const lines = peers.flatMap(({ remote: peer, authentication }) => {
    if (authentication.kind !== 'preshared') return [];
    const bytes = keyBytes(authentication.key, options);
    const key = authentication.key.reveal();
    const text =
      bytes === undefined
        ? keyPlaceholder
        : /^(?!0x)[\w.,:;/+-]+$/.test(key)
          ? key
          : `0x${bytes.toString('hex')}`;
    return [`${peer.kind === 'host' ? peer.address : '*'}\t${text}`];
  });
  return ['# Preshared keys, by ipseckit policy export --format racoon', ...lines, ''].join('\n');
}
