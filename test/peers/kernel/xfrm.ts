/** `ip xfrm`: SAs and policies of a Linux kernel, written by hand. */
import { type EncryptionId, encryption, type HashId, hash } from '../../../src/crypto/algorithms.js';
import type { SaHalf, SaPair } from '../../../src/driver/api.js';
import { toHex } from '../../../src/wire/bytes.js';
import { addressFamily } from '../../../src/wire/ip/address.js';
import type { LabHost } from '../../lab/lab-host.js';

const cipherNames: Readonly<Record<EncryptionId, string>> = {
  des: 'cbc(des)',
  '3des': 'cbc(des3_ede)',
  aes128: 'cbc(aes)',
  aes192: 'cbc(aes)',
  aes256: 'cbc(aes)',
  aes128gcm: 'rfc4106(gcm(aes))',
  aes192gcm: 'rfc4106(gcm(aes))',
  aes256gcm: 'rfc4106(gcm(aes))',
  null: 'ecb(cipher_null)',
};

/** Traffic of a pair as the kernel's policies want it: `10.1.0.0/24`, on our side and on the kernel's. */
export interface Networks {
  readonly ours: string;
  readonly theirs: string;
}

/** Gives a kernel the other end of a pair of ours. */
export function installAtPeer(peer: LabHost, pair: SaPair, networks: Networks): void {
  batch(peer, [
    ...neighbourDiscovery,
    ...pair.outbound.map((half, index) => state(pair, half, index, pair.local, pair.peer)),
    ...pair.inbound.map((half, index) => state(pair, half, index, pair.peer, pair.local)),
    policy(pair, 'in', pair.outbound, pair.local, pair.peer, networks.ours, networks.theirs),
    policy(pair, 'out', pair.inbound, pair.peer, pair.local, networks.theirs, networks.ours),
  ]);
}

/** A kernel would secure neighbour discovery too, and then find nobody. Daemons' policies come behind these. */
const neighbourDiscovery = [135, 136].flatMap(type =>
  ['in', 'out'].map(
    direction =>
      `xfrm policy update src ::/0 dst ::/0 proto ipv6-icmp type ${type} dir ${direction} priority 1 action allow`,
  ),
);

/** Lets neighbour discovery pass in clear, whatever policies come. */
export function passNeighbourDiscovery(peer: LabHost): void {
  batch(peer, neighbourDiscovery);
}

/** Removes all SAs and policies of a kernel. */
export function flushXfrm(peer: LabHost): void {
  batch(peer, ['xfrm policy flush', 'xfrm state flush']);
}

function batch(peer: LabHost, lines: readonly string[]): void {
  peer.run('sh', '-c', 'printf "%s\\n" "$1" | ip -batch -', 'sh', lines.join('\n'));
}

/** Of a bundle only the first, innermost SA is in tunnel mode. */
const modeOf = (pair: SaPair, index: number) => (index === 0 ? pair.mode : 'transport');

function state(pair: SaPair, half: SaHalf, index: number, source: string, destination: string): string {
  return [
    `xfrm state add src ${source} dst ${destination} proto ${half.protocol} spi 0x${half.spi.toString(16)}`,
    `reqid ${index + 1} mode ${modeOf(pair, index)} ${replay(pair, half, source)}`,
    // As every daemon asks for: without it the kernel pads AH to 8 bytes, which is for IPv6.
    ...(half.protocol === 'ah' && !source.includes(':') ? ['flag align4'] : []),
    ...(isMixed(pair) ? ['flag af-unspec'] : []),
    ...algorithms(half),
  ].join(' ');
}

/** The window, and where the numbers stand: what we send it has received. */
function replay({ local, extendedSequence }: SaPair, { sequence = 0 }: SaHalf, source: string): string {
  if (extendedSequence !== true) return 'replay-window 32';
  const number = source === local ? 'replay-seq' : 'replay-oseq';
  const [high, low] = [Math.floor(sequence / 2 ** 32), sequence % 2 ** 32];
  return `replay-window 64 flag esn ${number} ${low} ${number}-hi ${high}`;
}

/** A tunnel whose inside is of the other family. */
const isMixed = ({ peer, selector }: SaPair) => addressFamily(peer) !== addressFamily(selector.source.first);

function algorithms(half: SaHalf): string[] {
  const { encryption: cipher, hash: integrity, encryptionKey, integrityKey, icvBytes } = half;
  const words: string[] = [];
  if (cipher !== undefined) {
    const { tagBytes } = encryption(cipher);
    const kind = tagBytes === undefined ? 'enc' : 'aead';
    const bits = tagBytes === undefined ? [] : [String(tagBytes * 8)];
    words.push(kind, `"${cipherNames[cipher]}"`, key(encryptionKey), ...bits);
  }
  if (integrity !== undefined) words.push(...authentication(integrity, integrityKey, icvBytes));
  return words;
}

function authentication(
  integrity: HashId,
  integrityKey: Uint8Array,
  icvBytes: number = hash(integrity).icvBytes,
): string[] {
  return ['auth-trunc', `"hmac(${integrity})"`, key(integrityKey), String(icvBytes * 8)];
}

const key = (bytes: Uint8Array) => (bytes.length === 0 ? '""' : `0x${toHex(bytes)}`);

function policy(
  pair: SaPair,
  direction: 'in' | 'out',
  halves: readonly SaHalf[],
  source: string,
  destination: string,
  from: string,
  to: string,
): string {
  const templates = halves.map(({ protocol }, index) => {
    const mode = modeOf(pair, index);
    return `tmpl src ${source} dst ${destination} proto ${protocol} reqid ${index + 1} mode ${mode}`;
  });
  return `xfrm policy add src ${from} dst ${to} dir ${direction} priority 100 ${templates.join(' ')}`;
}
