/**
 * How IKE messages are encrypted and authenticated: IVs, padding and the phase-2 hashes (RFC 2409 5 and
 * appendix B, ike.md 4.3 to 4.6).
 */
import { timingSafeEqual } from 'node:crypto';
import { encryption } from '../crypto/algorithms.js';
import { cbcDecrypt, cbcEncrypt } from '../crypto/ike-cipher.js';
import { digest, prf } from '../crypto/prf.js';
import type { MainModeMethod } from '../policy/model.js';
import { ByteWriter, WireError } from '../wire/bytes.js';
import {
  assembleMessage,
  decodePayloads,
  encodePayloads,
  headerLength,
  type IsakmpHeader,
  type MessageHeader,
  type PayloadChain,
  payloadType,
} from '../wire/isakmp/message.js';
import { headerFlags } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';

/** What protects the messages of one ISAKMP SA. */
export interface MessageKeys {
  readonly method: MainModeMethod;
  /** SKEYID_a. */
  readonly authenticationKey: Uint8Array;
  /** Ka. */
  readonly cipherKey: Uint8Array;
}

/** A message ready to send, or read, and the IV of the next one in its chain. */
export interface Chained<T> {
  readonly value: T;
  readonly nextIv: Uint8Array;
}

/** Encrypts `payloads` into a whole message. Like Windows, always adds at least one byte of padding. */
export function seal(
  keys: MessageKeys,
  iv: Uint8Array,
  header: MessageHeader,
  payloads: readonly Payload[],
): Chained<Uint8Array> {
  const { blockBytes } = encryption(keys.method.encryption);
  const plain = encodePayloads(payloads);
  const padded = new Uint8Array(plain.length + blockBytes - (plain.length % blockBytes));
  padded.set(plain);
  const ciphertext = cbcEncrypt(keys.method.encryption, keys.cipherKey, iv, padded);
  const first = payloads[0];
  const encrypted = { ...header, flags: header.flags | headerFlags.ENCRYPTED };
  return {
    value: assembleMessage(encrypted, first === undefined ? 0 : payloadType(first), ciphertext),
    nextIv: ciphertext.slice(-blockBytes),
  };
}

/** Decrypts a message. Throws `WireError` when it is not whole blocks, or is nonsense: the key is wrong then. */
export function unseal(
  keys: MessageKeys,
  iv: Uint8Array,
  header: IsakmpHeader,
  message: Uint8Array,
): Chained<PayloadChain> {
  const { blockBytes } = encryption(keys.method.encryption);
  const ciphertext = message.subarray(headerLength, header.length);
  if (ciphertext.length === 0 || ciphertext.length % blockBytes !== 0)
    throw new WireError('bad-length', headerLength, 'encrypted body: not a number of whole cipher blocks');
  const plain = cbcDecrypt(keys.method.encryption, keys.cipherKey, iv, ciphertext);
  return {
    value: decodePayloads(plain, header.nextPayload, { decrypted: true }),
    nextIv: ciphertext.slice(-blockBytes),
  };
}

/** IV of main mode message 5: the start of hash(g^xi | g^xr). */
export function phase1Iv(
  method: MainModeMethod,
  initiatorValue: Uint8Array,
  responderValue: Uint8Array,
): Uint8Array {
  return digest(method.hash, initiatorValue, responderValue).slice(
    0,
    encryption(method.encryption).blockBytes,
  );
}

/** IV of the first message of a phase-2 exchange. `lastBlock` is the last cipher block of phase 1. */
export function phase2Iv(method: MainModeMethod, lastBlock: Uint8Array, messageId: number): Uint8Array {
  return digest(method.hash, lastBlock, messageIdBytes(messageId)).slice(
    0,
    encryption(method.encryption).blockBytes,
  );
}

/** prf(SKEYID_a, parts): HASH(1) to HASH(4) and the hash of informational messages. */
export function phase2Hash(keys: MessageKeys, ...parts: readonly Uint8Array[]): Uint8Array {
  return prf(keys.method.hash, keys.authenticationKey, ...parts);
}

/** The message id as hashes see it. */
export function messageIdBytes(messageId: number): Uint8Array {
  return new ByteWriter().u32(messageId).finish();
}

/** `payloads` behind the HASH payload that covers them: prf(SKEYID_a, prefix | payloads). */
export function withHash(
  keys: MessageKeys,
  prefix: readonly Uint8Array[],
  payloads: readonly Payload[],
): Payload[] {
  const data = phase2Hash(keys, ...prefix, encodePayloads(payloads));
  return [{ kind: 'hash', data }, ...payloads];
}

/** Constant-time comparison of MACs. */
export function macsEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
