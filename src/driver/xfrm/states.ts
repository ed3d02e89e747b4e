/** Pairs as states of the kernel: each SA is one. */
import { type EncryptionId, encryption, hash } from '../../crypto/algorithms.js';
import { addressFamily } from '../../wire/ip/address.js';
import { mirrorSelector } from '../../wire/ip/selector.js';
import { anySelector } from '../../wire/netlink/xfrm-selector.js';
import type { XfrmLimits, XfrmMode, XfrmReplay, XfrmState } from '../../wire/netlink/xfrm-state.js';
import { stateFlags } from '../../wire/netlink/xfrm-structures.js';
import type { Endpoint, SaHalf, SaPair } from '../api.js';
import { carriedSelector } from '../pair-places.js';
import { coveringSelector } from './selectors.js';

/** IP protocol numbers of the two. */
export const protocolNumbers = { esp: 50, ah: 51 } as const;

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

const defaultReplayWindow = 64;
/** RFC 2407 4.5: a kilobyte of lifetime. */
const kilobyteBytes = 1024;
/** Three quarters of the sequence numbers: time to negotiate before there are none left (`esp-ah.md` 4). */
const softPackets = 2 ** 31 + 2 ** 30;

/** A pair with what the kernel needs to know besides. */
export interface KernelPair {
  readonly pair: SaPair;
  readonly requestId: number;
  /** Where the peer is now: behind NAT it moves. */
  readonly peer: Endpoint;
}

/** The states of one direction of a pair, the innermost first. */
export function statesOf(
  { pair, requestId, peer }: KernelPair,
  direction: 'inbound' | 'outbound',
): XfrmState[] {
  const [source, destination] =
    direction === 'outbound' ? [pair.local, peer.address] : [peer.address, pair.local];
  const carried = carriedSelector(pair, peer.address);
  const selector = direction === 'outbound' ? carried : mirrorSelector(carried);
  return pair[direction].map((half, index) => ({
    id: { destination, spi: half.spi, protocol: protocolNumbers[half.protocol] },
    source,
    mode: modeOf(pair, index),
    requestId,
    // What is inside is looked at once: by the innermost of a bundle.
    selector: index === 0 ? coveringSelector(selector) : anySelector(addressFamily(pair.local)),
    limits: limitsOf(pair),
    sequence: 0,
    flags: flagsOf(pair, half) | (isTunnelEnd(pair, direction, index) ? stateFlags.icmp : 0),
    ...algorithmsOf(half),
    ...encapsulationOf(pair, peer, direction),
    replay: replayOf(pair, half, direction),
  }));
}

/** Where a tunnel's packets come out, errors about what it carries are let in, whoever sends them. */
function isTunnelEnd(pair: SaPair, direction: 'inbound' | 'outbound', index: number): boolean {
  return direction === 'inbound' && modeOf(pair, index) === 'tunnel';
}

function flagsOf({ local, extendedSequence }: SaPair, { protocol }: SaHalf): number {
  // Without it the kernel pads AH to 8 bytes, which is for IPv6.
  const padding = protocol === 'ah' && addressFamily(local) === 4 ? stateFlags.align4 : 0;
  return padding | (extendedSequence === true ? stateFlags.extendedSequence : 0);
}

/** Of a bundle only the innermost SA is in tunnel mode. */
export function modeOf(pair: SaPair, index: number): XfrmMode {
  return index === 0 ? pair.mode : 'transport';
}

function algorithmsOf(half: SaHalf): Pick<XfrmState, 'encryption' | 'authentication' | 'combined'> {
  const { encryption: id, hash: integrity, encryptionKey, integrityKey, icvBytes } = half;
  const authentication =
    integrity === undefined
      ? {}
      : {
          authentication: {
            name: `hmac(${integrity})`,
            key: integrityKey,
            icvBits: (icvBytes ?? hash(integrity).icvBytes) * 8,
          },
        };
  if (half.protocol === 'ah') return authentication;
  const { tagBytes } = encryption(id ?? 'null');
  const cipher = { name: cipherNames[id ?? 'null'], key: encryptionKey };
  if (tagBytes !== undefined) return { combined: { ...cipher, icvBits: (icvBytes ?? tagBytes) * 8 } };
  return { encryption: cipher, ...authentication };
}

function limitsOf({ lifetime, extendedSequence }: SaPair): XfrmLimits {
  const bytes = (kilobytes: number) =>
    kilobytes === 0 ? Number.POSITIVE_INFINITY : kilobytes * kilobyteBytes;
  return {
    softSeconds: lifetime.softSeconds,
    hardSeconds: lifetime.hardSeconds,
    softBytes: bytes(lifetime.softKilobytes),
    hardBytes: bytes(lifetime.hardKilobytes),
    softPackets: extendedSequence === true ? Number.POSITIVE_INFINITY : softPackets,
    hardPackets: Number.POSITIVE_INFINITY,
  };
}

function encapsulationOf(
  { udpEncapsulation }: SaPair,
  peer: Endpoint,
  direction: 'inbound' | 'outbound',
): Pick<XfrmState, 'encapsulation'> {
  if (udpEncapsulation === undefined) return {};
  const { localPort } = udpEncapsulation;
  return {
    encapsulation:
      direction === 'outbound'
        ? { sourcePort: localPort, destinationPort: peer.port }
        : { sourcePort: peer.port, destinationPort: localPort },
  };
}

/** Always given, so that the kernel tells where the numbers stand. With extended ones it wants a window outbound too. */
function replayOf(pair: SaPair, half: SaHalf, direction: 'inbound' | 'outbound'): XfrmReplay {
  const { sequence = 0 } = half;
  const window = direction === 'inbound' || pair.extendedSequence === true ? windowOf(pair, half) : 0;
  const bitmap = Array.from({ length: Math.ceil(window / 32) }, () => 0);
  return direction === 'inbound'
    ? { window, outbound: 0, inbound: sequence, bitmap }
    : { window, outbound: sequence, inbound: 0, bitmap };
}

/** Numbers of packets that do not prove who sent them mean nothing. */
function windowOf(pair: SaPair, half: SaHalf): number {
  const proven =
    half.hash !== undefined ||
    encryption(half.encryption ?? 'null').tagBytes !== undefined ||
    pair.inbound.some(({ protocol }) => protocol === 'ah');
  return proven ? (pair.replayWindow ?? defaultReplayWindow) : 0;
}
