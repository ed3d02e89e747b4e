/** Reading the encrypted messages of one negotiation with a key from a key table. */
import { encryption } from '../../crypto/algorithms.js';
import { phase1Iv, phase2Iv, unseal } from '../../ike/protection.js';
import type { MainModeMethod } from '../../policy/model.js';
import { WireError } from '../../wire/bytes.js';
import { headerLength, type IsakmpHeader, type PayloadChain } from '../../wire/isakmp/message.js';

/** IVs are chained from message to message, so every encrypted message has to come by, readable or not. */
export class Decryption {
  readonly #key: Uint8Array;
  readonly #method: MainModeMethod;
  /** Last cipher block of phase 1 so far. */
  #lastBlock: Uint8Array;
  readonly #ivs = new Map<number, Uint8Array>();

  /** `values` are the two public values, as they were on the wire. */
  constructor(
    key: Uint8Array,
    method: MainModeMethod,
    values: { readonly initiator: Uint8Array; readonly responder: Uint8Array },
  ) {
    this.#key = key;
    this.#method = method;
    this.#lastBlock = phase1Iv(method, values.initiator, values.responder);
  }

  /** The payloads of an encrypted message. Throws `WireError` when it is nonsense: another key was used. */
  open(header: IsakmpHeader, bytes: Uint8Array): PayloadChain {
    const { messageId } = header;
    const iv =
      messageId === 0
        ? this.#lastBlock
        : (this.#ivs.get(messageId) ?? phase2Iv(this.#method, this.#lastBlock, messageId));
    const { blockBytes } = encryption(this.#method.encryption);
    const body = bytes.subarray(headerLength, header.length);
    if (body.length >= blockBytes && body.length % blockBytes === 0) {
      const last = body.slice(-blockBytes);
      if (messageId === 0) this.#lastBlock = last;
      else this.#ivs.set(messageId, last);
    }
    if (this.#key.length !== encryption(this.#method.encryption).keyBytes)
      throw new WireError(
        'bad-length',
        0,
        `a key of ${this.#key.length} bytes for ${this.#method.encryption}`,
      );
    const keys = { method: this.#method, authenticationKey: new Uint8Array(0), cipherKey: this.#key };
    return unseal(keys, iv, header, bytes).value;
  }
}
