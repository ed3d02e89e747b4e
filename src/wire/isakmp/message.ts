import { ByteReader, ByteWriter, WireError } from '../bytes.js';
import { declarationOf, payloadType } from './declarations.js';
import { bytes, u8, u32 } from './field-kinds.js';
import { struct } from './fields.js';
import { genericHeaderLength, readGenericHeader, writeGenericHeader } from './generic-header.js';
import { decodeLimits, exchangeTypes, headerFlags, isakmpVersion, payloadTypes } from './numbers.js';

import type { Payload, PayloadKind, PayloadOf } from './payloads.js';

/** What the sender of a message chooses in its header (RFC 2408 3.1). */
export interface MessageHeader {
  /** 8 bytes, not all zero. */
  readonly initiatorCookie: Uint8Array;
  /** 8 bytes; all zero in the first message of phase 1. */
  readonly responderCookie: Uint8Array;
  /** `exchangeTypes`. */
  readonly exchangeType: number;
  /** Sum of `headerFlags`. */
  readonly flags: number;
  /** 0 in phase 1. */
  readonly messageId: number;
  /** Major version in the high four bits, minor in the low four; 1.0 when absent. */
  readonly version?: number;
}

/** A decoded header. */
export interface IsakmpHeader extends MessageHeader {
  /** Type of the first payload. */
  readonly nextPayload: number;
  readonly version: number;
  /** Bytes of the whole message, header and padding included. */
  readonly length: number;
}

/** A payload and the bytes it was read from. */
export interface LocatedPayload<P extends Payload = Payload> {
  readonly payload: P;
  /** Offset of its generic header from the start of the message. */
  readonly offset: number;
  /** Generic header and body, as received. */
  readonly raw: Uint8Array;
  /** Body without the generic header, as received: the `_b` of RFC 2409. */
  readonly body: Uint8Array;
}

/** A decoded chain of payloads. */
export interface PayloadChain {
  readonly payloads: readonly LocatedPayload[];
  /** The chain as received, padding excluded. */
  readonly bytes: Uint8Array;
  /** Bytes after the last payload; in a clear message at most 3, all zero. */
  readonly paddingLength: number;
}

/** A decoded clear message. */
export interface IsakmpMessage extends PayloadChain {
  readonly header: IsakmpHeader;
}

export { payloadType };

/** Length of the ISAKMP header in bytes. */
export const headerLength = 28;

const cookie = bytes({ fixed: 8 });

const headerFields = struct<Required<IsakmpHeader>>('ISAKMP header', {
  initiatorCookie: cookie,
  responderCookie: cookie,
  nextPayload: u8({ names: payloadTypes }),
  version: u8({ refuse: version => (version >>> 4 === isakmpVersion >>> 4 ? undefined : 'unsupported') }),
  exchangeType: u8({ names: exchangeTypes }),
  flags: u8(),
  messageId: u32(),
  length: u32({ refuse: length => (length < headerLength ? 'bad-length' : undefined) }),
});

/**
 * Decodes the header at the start of a datagram (the non-ESP marker of port 4500 already removed). Bytes after
 * `header.length` are to be ignored. Throws `WireError`: truncated, a length of less than the header or more than
 * there is, a major version that is not 1 (`unsupported`), an initiator cookie of zero.
 */
export function decodeHeader(datagram: Uint8Array): IsakmpHeader {
  const reader = new ByteReader(plainView(datagram));
  const header = headerFields.read(reader.slice(headerLength, 'ISAKMP header'));
  if (header.initiatorCookie.every(byte => byte === 0))
    throw new WireError('bad-value', 0, 'initiator cookie is zero');
  if (header.length > datagram.length)
    throw new WireError('truncated', datagram.length, `ISAKMP message of ${header.length} bytes`);
  return header;
}

/** Text for errors in decrypted payloads: with the right key they hardly ever happen. */
const wrongKey = ' (probably decrypted with a wrong key)';

/**
 * Decodes a chain of payloads. `body` is the message from its first payload on (decrypted, if it was encrypted),
 * `firstType` the header's `nextPayload`. With `decrypted`, bytes after the last payload are padding, and an
 * impossible generic header is reported as the sign of a wrong key; without, both are errors of the message, unless
 * they are zeros that round its length up to a multiple of 4 (RFC 2408 3; libreswan sends them).
 * Throws `WireError` with an offset from the start of the message. The result is views on `body`.
 */
export function decodePayloads(
  body: Uint8Array,
  firstType: number,
  options: { readonly decrypted?: boolean } = {},
): PayloadChain {
  const bytes = plainView(body);
  const reader = new ByteReader(bytes, headerLength);
  const suspicion = options.decrypted ? wrongKey : '';
  const payloads: LocatedPayload[] = [];
  let vendorIds = 0;
  for (let type = firstType; type !== payloadTypes.NONE; ) {
    const { offset } = reader;
    if (type === payloadTypes.PROPOSAL || type === payloadTypes.TRANSFORM)
      reader.fail('bad-order', `payload type ${type} outside of an SA payload${suspicion}`);
    if (payloads.length === decodeLimits.payloads) reader.fail('too-many', 'payloads');
    if (type === payloadTypes.VID && ++vendorIds > decodeLimits.vendorIds)
      reader.fail('too-many', 'vendor IDs');
    const declaration = declarationOf(type);
    const generic = readGenericHeader(reader, declaration.name, suspicion);
    if (type === payloadTypes.FRAGMENT && (payloads.length > 0 || generic.next !== payloadTypes.NONE))
      throw new WireError('bad-order', offset, 'a fragment is not the only payload');
    const raw = bytes.subarray(offset - headerLength, reader.offset - headerLength);
    payloads.push({
      payload: declaration.read(generic.body),
      offset,
      raw,
      body: raw.subarray(genericHeaderLength),
    });
    type = generic.next;
  }
  const paddingLength = reader.remaining;
  if (paddingLength > 0 && !options.decrypted && !isAlignment(bytes.subarray(-paddingLength)))
    reader.fail('trailing-bytes', `${paddingLength} bytes after the last payload`);
  return { payloads, bytes: bytes.subarray(0, bytes.length - paddingLength), paddingLength };
}

const isAlignment = (padding: Uint8Array) => padding.length < 4 && padding.every(byte => byte === 0);

/**
 * Whether what follows a header is encrypted. A fragment is not, though racoon repeats in its header the flags of the
 * message that it is a piece of.
 */
export function isEncrypted({ flags, nextPayload }: Pick<IsakmpHeader, 'flags' | 'nextPayload'>): boolean {
  return (flags & headerFlags.ENCRYPTED) !== 0 && nextPayload !== payloadTypes.FRAGMENT;
}

/** Decodes a whole clear message. Throws `WireError`; an encrypted one is `unsupported` here. */
export function decodeMessage(datagram: Uint8Array): IsakmpMessage {
  const header = decodeHeader(datagram);
  if (isEncrypted(header)) throw new WireError('unsupported', headerLength, 'the payloads are encrypted');
  return { header, ...decodePayloads(datagram.subarray(headerLength, header.length), header.nextPayload) };
}

/** A whole clear message. Throws `RangeError` on a value that does not fit its field. */
export function encodeMessage(header: MessageHeader, payloads: readonly Payload[]): Uint8Array {
  return assembleMessage(header, firstPayloadType(payloads), encodePayloads(payloads));
}

/** A header, its next payload and length computed, before a body already encoded, or encrypted. */
export function assembleMessage(header: MessageHeader, firstType: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter();
  headerFields.write(writer, {
    version: isakmpVersion,
    ...header,
    nextPayload: firstType,
    length: headerLength + body.length,
  });
  return writer.bytes(body).finish();
}

/** The payloads, chained, without a message header. Throws `RangeError` on a value that does not fit its field. */
export function encodePayloads(payloads: readonly Payload[]): Uint8Array {
  const writer = new ByteWriter();
  for (const [index, payload] of payloads.entries())
    writeGenericHeader(
      writer,
      firstPayloadType(payloads.slice(index + 1, index + 2)),
      encodePayloadBody(payload),
    );
  return writer.finish();
}

/** A payload's body without its generic header: the `_b` of RFC 2409. */
export function encodePayloadBody(payload: Payload): Uint8Array {
  const writer = new ByteWriter();
  declarationOf(payloadType(payload)).write(writer, payload);
  return writer.finish();
}

/** What goes into the "next payload" byte before these payloads. */
export function firstPayloadType([first]: readonly Payload[]): number {
  return first === undefined ? payloadTypes.NONE : payloadType(first);
}

/** The first payload of a kind. */
export function findPayload<K extends PayloadKind>(
  chain: PayloadChain,
  kind: K,
): LocatedPayload<PayloadOf<K>> | undefined {
  return findPayloads(chain, kind)[0];
}

/** All payloads of a kind, in order. */
export function findPayloads<K extends PayloadKind>(
  chain: PayloadChain,
  kind: K,
): LocatedPayload<PayloadOf<K>>[] {
  return chain.payloads.filter(
    (located): located is LocatedPayload<PayloadOf<K>> => located.payload.kind === kind,
  );
}

/** The bytes after the first payload to the end of the last, as received: what HASH(1), HASH(2) … cover. */
export function bytesAfterFirst(chain: PayloadChain): Uint8Array {
  return chain.bytes.subarray(chain.payloads[0]?.raw.length ?? 0);
}

/** Also of a Buffer: its views would be Buffers, which compare and print otherwise. */
function plainView(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
