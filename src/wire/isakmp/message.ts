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
}

/** A decoded header. */
export interface IsakmpHeader extends MessageHeader {
  /** Type of the first payload. */
  readonly nextPayload: number;
  /** Major version in the high four bits, minor in the low four. */
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
  /** Bytes after the last payload; always 0 in a clear message. */
  readonly paddingLength: number;
}

/** A decoded clear message. */
export interface IsakmpMessage extends PayloadChain {
  readonly header: IsakmpHeader;
}

/** Length of the ISAKMP header in bytes. */
export const headerLength = 28;

/**
 * Decodes the header at the start of a datagram (the non-ESP marker of port 4500 already removed). Bytes after
 * `header.length` are to be ignored. Throws `WireError` when it is truncated, its length is less than 28 or more
 * than there is, its major version is not 1 (`unsupported`), or the initiator cookie is zero.
 */
export declare function decodeHeader(bytes: Uint8Array): IsakmpHeader;

/**
 * Decodes a chain of payloads. `bytes` is the message from the first payload on (decrypted, if it was encrypted),
 * `firstType` the header's `nextPayload`. With `decrypted`, bytes after the last payload are padding, and errors say
 * that the key is probably wrong; without, they are an error. Throws `WireError`, its offset from the start of the message.
 */
export declare function decodePayloads(
  bytes: Uint8Array,
  firstType: number,
  options?: { readonly decrypted?: boolean },
): PayloadChain;

/** Decodes a whole clear message. Throws `WireError`, also when the message is encrypted. */
export declare function decodeMessage(bytes: Uint8Array): IsakmpMessage;

/** A whole clear message. */
export declare function encodeMessage(header: MessageHeader, payloads: readonly Payload[]): Uint8Array;

/** A header (its next payload and length computed) before a body that is already encoded, or encrypted. */
export declare function assembleMessage(
  header: MessageHeader,
  firstType: number,
  body: Uint8Array,
): Uint8Array;

/** The payloads, chained, without a message header. */
export declare function encodePayloads(payloads: readonly Payload[]): Uint8Array;

/** A payload's body without its generic header: the `_b` of RFC 2409. */
export declare function encodePayloadBody(payload: Payload): Uint8Array;

/** The payload's type number. */
export declare function payloadType(payload: Payload): number;

/** The first payload of a kind. */
export declare function findPayload<K extends PayloadKind>(
  chain: PayloadChain,
  kind: K,
): LocatedPayload<PayloadOf<K>> | undefined;

/** All payloads of a kind, in order. */
export declare function findPayloads<K extends PayloadKind>(
  chain: PayloadChain,
  kind: K,
): LocatedPayload<PayloadOf<K>>[];

/** The bytes after the first payload to the end of the last, as received: what HASH(1), HASH(2) … cover. */
export declare function bytesAfterFirst(chain: PayloadChain): Uint8Array;
