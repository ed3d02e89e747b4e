/**
 * Cutting our own messages into fragments for a peer that announced it can join them ([MS-IKEE] 2.2.3 and 3.3,
 * ike.md 14): for paths that lose IP fragments, where certificates do not get through otherwise.
 */
import { createHash } from 'node:crypto';
import { addressFamily } from '../wire/ip/address.js';
import { assembleMessage, decodeHeader, encodePayloads, headerLength } from '../wire/isakmp/message.js';
import { payloadTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type { IkeOptions } from './api.js';
import { lastFlag, maxFragments } from './fragments.js';
import type { MainMode } from './main-mode.js';
import { natPort } from './nat-traversal.js';

/** Bytes of IP packets. `smallest` passes everywhere; `prudent` wherever IPv6 would. */
const packetBytes = { smallest: { 4: 576, 6: 1_280 }, prudent: 1_280 } as const;

/** Headers around a message. */
const headerBytes = { ip: { 4: 20, 6: 40 }, udp: 8, nonEspMarker: 4, fragment: 8 } as const;

/** Windows' fragmentation timer: the first two pauses between transmissions have passed, 3 s. */
const timerRetransmission = 2;

/** What goes on the wire for one transmission of a message: the message itself, or its fragments. */
export function piecesToSend(
  mainMode: MainMode,
  bytes: Uint8Array,
  payloads: readonly Payload[],
  retransmission: number,
  profile: IkeOptions['vendorProfile'],
): readonly Uint8Array[] {
  if (!mainMode.vendors.keys.has('fragmentation')) return [bytes];
  const family = addressFamily(mainMode.peerAddress);
  const limit = packetLimit(mainMode, family, payloads, retransmission, profile);
  const around =
    headerBytes.ip[family] +
    headerBytes.udp +
    (mainMode.localPort === natPort ? headerBytes.nonEspMarker : 0);
  if (limit === undefined || bytes.length + around <= limit) return [bytes];
  const pieces = cut(bytes, limit - around - headerLength - headerBytes.fragment);
  return pieces.length <= maxFragments ? pieces : [bytes];
}

/**
 * The largest packet this transmission should need. Windows cuts only messages that carry an ID, and not before its
 * timer has run out or the peer has cut one of its own; we do not wait where IP would have to cut instead.
 */
function packetLimit(
  { peerFragments }: MainMode,
  family: 4 | 6,
  payloads: readonly Payload[],
  retransmission: number,
  profile: IkeOptions['vendorProfile'],
): number | undefined {
  const timerIsOver = retransmission >= timerRetransmission;
  if (profile !== 'windows-2003') return timerIsOver ? packetBytes.smallest[family] : packetBytes.prudent;
  const mayBeCut = payloads.some(({ kind }) => kind === 'id') && (timerIsOver || peerFragments);
  return mayBeCut ? packetBytes.smallest[family] : undefined;
}

/** Consecutive parts of the whole message, its header included, each behind a copy of that header without E. */
function cut(bytes: Uint8Array, partBytes: number): Uint8Array[] {
  const header = { ...decodeHeader(bytes), flags: 0 };
  const count = Math.ceil(bytes.length / partBytes);
  const fragmentId = fragmentIdOf(bytes, partBytes);
  return Array.from({ length: count }, (_, i) =>
    assembleMessage(
      header,
      payloadTypes.FRAGMENT,
      encodePayloads([
        {
          kind: 'fragment',
          fragmentId,
          number: i + 1,
          flags: i === count - 1 ? lastFlag : 0,
          data: bytes.subarray(i * partBytes, (i + 1) * partBytes),
        },
      ]),
    ),
  );
}

/** The same for each transmission cut the same way, so that parts of two of them join; never 0. */
function fragmentIdOf(bytes: Uint8Array, partBytes: number): number {
  const digest = createHash('sha1').update(String(partBytes)).update(bytes).digest();
  return digest.readUInt16BE(0) || 1;
}
