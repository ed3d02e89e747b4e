/**
 * Someone between two hosts who knows everything: opens the messages of a negotiation, and seals them again changed so
 * that the receiver takes them for the peer's own.
 */
import assert from 'node:assert/strict';
import { encryption, hash } from '../../src/crypto/algorithms.js';
import { agree, keyPairOf } from '../../src/crypto/dh.js';
import { cbcDecrypt, cbcEncrypt } from '../../src/crypto/ike-cipher.js';
import { ikeCipherKey, presharedSkeyid, skeyidFamily } from '../../src/crypto/prf.js';
import {
  type MessageKeys,
  messageIdBytes,
  phase1Iv,
  phase2Hash,
  phase2Iv,
} from '../../src/ike/protection.js';
import type { MainModeMethod } from '../../src/policy/model.js';
import { bytesEqual } from '../../src/wire/bytes.js';
import { genericHeaderLength } from '../../src/wire/isakmp/generic-header.js';
import {
  decodeHeader,
  decodePayloads,
  findPayload,
  headerLength,
  type PayloadChain,
} from '../../src/wire/isakmp/message.js';
import { exchangeTypes, headerFlags } from '../../src/wire/isakmp/numbers.js';
import type { Host } from './harness.js';

/** A message in the clear: the header as it was, and the payloads with what pads them. */
export interface OpenMessage {
  readonly header: Uint8Array;
  readonly exchangeType: number;
  readonly messageId: number;
  readonly body: Uint8Array;
  readonly chain: PayloadChain;
  /** Its last cipher block, when it was encrypted. */
  readonly lastBlock?: Uint8Array;
}

export class Wiretap {
  readonly #initiator: Host;
  readonly #method: MainModeMethod;
  readonly #presharedKey: string;
  #cookie: Uint8Array | undefined;
  #keys: MessageKeys | undefined;
  readonly #values: Uint8Array[] = [];
  readonly #nonces: Uint8Array[] = [];
  /**
   * Last cipher blocks by message id, what the cipher of the answer begins with: as they were sent, and as they were
   * delivered. Who answers a changed message goes on from what was delivered, and is awaited with what was sent.
   */
  readonly #sentIvs = new Map<number, Uint8Array>();
  readonly #deliveredIvs = new Map<number, Uint8Array>();
  readonly #quickNonces: Uint8Array[] = [];

  constructor(initiator: Host, method: MainModeMethod, presharedKey: string) {
    this.#initiator = initiator;
    this.#method = method;
    this.#presharedKey = presharedKey;
  }

  /** Whether a message belongs to that negotiation, and not to one begun later. */
  follows(message: Uint8Array): boolean {
    if (message.length < headerLength) return false; // a NAT keepalive
    const { initiatorCookie } = decodeHeader(message);
    this.#cookie ??= initiatorCookie.slice();
    return bytesEqual(this.#cookie, initiatorCookie);
  }

  /** Reads the next message of the one negotiation there is; each once, in order. */
  open(message: Uint8Array): OpenMessage {
    const parsed = decodeHeader(message);
    const { exchangeType, messageId } = parsed;
    const header = message.slice(0, headerLength);
    const encrypted = (parsed.flags & headerFlags.ENCRYPTED) !== 0;
    const facts = { header, exchangeType, messageId };
    if (!encrypted) {
      const body = message.slice(headerLength);
      const chain = decodePayloads(body, parsed.nextPayload);
      this.#learn(chain, parsed.initiatorCookie, parsed.responderCookie);
      return { ...facts, body, chain };
    }
    const keys = this.#known();
    const iv = this.#iv(this.#deliveredIvs, messageId);
    const ciphertext = message.subarray(headerLength);
    const body = Uint8Array.from(cbcDecrypt(this.#method.encryption, keys.cipherKey, iv, ciphertext));
    const chain = decodePayloads(body, parsed.nextPayload, { decrypted: true });
    const nonce = exchangeType === exchangeTypes['Quick mode'] && findPayload(chain, 'nonce');
    if (nonce) this.#quickNonces.push(nonce.payload.data);
    return { ...facts, body, chain, lastBlock: ciphertext.slice(-this.#blockBytes) };
  }

  /**
   * The message for its receiver, with another header or body. With `proved`, the hash over a quick mode body is made anew:
   * the receiver sees what a peer with a mistake in it would send.
   */
  seal(open: OpenMessage, header: Uint8Array, changed: Uint8Array, proved: boolean): Uint8Array {
    const body = Uint8Array.from(changed);
    const ofLength = (bytes: Uint8Array) =>
      body.length === open.body.length ? join(header, bytes) : withLength(join(header, bytes));
    if (open.lastBlock === undefined) return ofLength(body);
    const { cipherKey } = this.#known();
    if (proved && open.exchangeType === exchangeTypes['Quick mode']) this.#prove(open, body);
    const whole = body.subarray(0, body.length - (body.length % this.#blockBytes));
    const iv = this.#iv(this.#sentIvs, open.messageId);
    const ciphertext = cbcEncrypt(this.#method.encryption, cipherKey, iv, whole);
    this.#sentIvs.set(open.messageId, open.lastBlock);
    this.#deliveredIvs.set(open.messageId, ciphertext.slice(-this.#blockBytes));
    return ofLength(ciphertext);
  }

  /** HASH(1), or HASH(2) once the answer has shown its nonce; HASH(3) covers no payload. */
  #prove(open: OpenMessage, body: Uint8Array): void {
    const digestBytes = hash(this.#method.hash).digestBytes;
    const [first] = open.chain.payloads;
    assert.ok(first?.payload.kind === 'hash');
    const start = genericHeaderLength + digestBytes;
    const rest = body.subarray(start, body.length - open.chain.paddingLength);
    if (rest.length === 0) return;
    const [initiatorNonce, responderNonce] = this.#quickNonces;
    const prefix = responderNonce && initiatorNonce ? [initiatorNonce] : [];
    body.set(phase2Hash(this.#known(), messageIdBytes(open.messageId), ...prefix, rest), genericHeaderLength);
  }

  #learn(chain: PayloadChain, initiatorCookie: Uint8Array, responderCookie: Uint8Array): void {
    const ke = findPayload(chain, 'ke');
    const nonce = findPayload(chain, 'nonce');
    if (!ke || !nonce) return;
    this.#values.push(ke.payload.data);
    this.#nonces.push(nonce.payload.data);
    const [initiatorValue, responderValue] = this.#values;
    const [initiatorNonce, responderNonce] = this.#nonces;
    if (!initiatorValue || !responderValue || !initiatorNonce || !responderNonce) return;
    const { group, hash: hashId, encryption: cipher } = this.#method;
    const own = this.#initiator.drawn
      .map(bytes => Uint8Array.from(bytes, (byte, index) => (index === 0 ? byte | 0x80 : byte)))
      .filter(({ length }) => length > 16)
      .map(exponent => keyPairOf(group, exponent))
      .find(({ publicValue }) => bytesEqual(publicValue, initiatorValue));
    assert.ok(own, 'the exponent of the initiator is among what it has drawn');
    const shared = agree(own, responderValue);
    const skeyid = presharedSkeyid(hashId, Buffer.from(this.#presharedKey), initiatorNonce, responderNonce);
    const family = skeyidFamily(hashId, skeyid, shared, initiatorCookie, responderCookie);
    this.#keys = {
      method: this.#method,
      authenticationKey: family.a,
      cipherKey: ikeCipherKey(hashId, family.e, cipher),
    };
    for (const ivs of [this.#sentIvs, this.#deliveredIvs])
      ivs.set(0, phase1Iv(this.#method, initiatorValue, responderValue));
  }

  #iv(ivs: ReadonlyMap<number, Uint8Array>, messageId: number): Uint8Array {
    const phase1 = ivs.get(0);
    assert.ok(phase1);
    return ivs.get(messageId) ?? phase2Iv(this.#method, phase1, messageId);
  }

  get #blockBytes(): number {
    return encryption(this.#method.encryption).blockBytes;
  }

  #known(): MessageKeys {
    assert.ok(this.#keys, 'message 4 has been seen');
    return this.#keys;
  }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** With what the header says of its length made true. */
function withLength(message: Uint8Array): Uint8Array {
  new DataView(message.buffer).setUint32(24, message.length);
  return message;
}
