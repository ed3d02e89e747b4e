/**
 * CBC encryption of ESP packets with one cipher object for the life of an SA, a vector of packets in one call: making
 * a cipher object costs Node more than encrypting a packet.
 *
 * Encryption: all packets of the SA form one endless chain, [random block, plaintext, random block, plaintext, …]. A
 * random block comes out as E(random ⊕ last ciphertext block): uniform and unpredictable, which is what an
 * explicit IV must be (RFC 2405 3, RFC 3602 3), and it is what is sent as the IV.
 *
 * Decryption: feeding [IV, ciphertext] of any packet at any time gives one block of rubbish, then the plaintext, for a
 * CBC block depends on nothing but the ciphertext block before it. Lost and reordered packets change nothing.
 */
import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto';
import { type EspLayout, espHeaderBytes } from '../wire/esp.js';
import type { EncryptionAlgorithm } from './algorithms.js';
import { opensslKey, opensslName } from './openssl-cipher.js';
import type { EspSlot } from './packet-cipher.js';
import type { RandomPool } from './random-pool.js';

/** Where vectors are put together; one for all SAs, since each use ends before the next begins. */
let workspace = Buffer.alloc(0);

function workspaceOf(length: number): Buffer {
  if (workspace.length < length) workspace = Buffer.alloc(Math.max(length, 65_536));
  return workspace;
}

export class CbcEncryptor {
  readonly #cipher: Cipher;
  readonly #layout: EspLayout;
  readonly #random: RandomPool;

  constructor(row: EncryptionAlgorithm, key: Uint8Array, layout: EspLayout, random: RandomPool) {
    const iv = Buffer.alloc(row.ivBytes);
    random.fill(iv, 0, iv.length);
    this.#cipher = createCipheriv(opensslName(row), opensslKey(row, key), iv).setAutoPadding(false);
    this.#layout = layout;
    this.#random = random;
  }

  /** Encrypts the plaintext of the slots in place and fills in their IVs. */
  encrypt(slots: readonly EspSlot[]): void {
    const { ivBytes } = this.#layout;
    let total = 0;
    for (const slot of slots) total += this.#chainBytes(slot);
    const chain = workspaceOf(total);
    let at = 0;
    for (const slot of slots) {
      const start = slot.start + espHeaderBytes;
      this.#random.fill(chain, at, ivBytes);
      chain.set(slot.bytes.subarray(start + ivBytes, slot.end - this.#layout.icvBytes), at + ivBytes);
      at += this.#chainBytes(slot);
    }
    const encrypted = this.#cipher.update(chain.subarray(0, total));
    at = 0;
    for (const slot of slots) {
      const end = at + this.#chainBytes(slot);
      encrypted.copy(slot.bytes, slot.start + espHeaderBytes, at, end);
      at = end;
    }
  }

  #chainBytes(slot: EspSlot): number {
    return slot.end - slot.start - espHeaderBytes - this.#layout.icvBytes;
  }
}

export class CbcDecryptor {
  readonly #decipher: Decipher;
  readonly #layout: EspLayout;

  constructor(row: EncryptionAlgorithm, key: Uint8Array, layout: EspLayout) {
    const iv = Buffer.alloc(row.ivBytes);
    this.#decipher = createDecipheriv(opensslName(row), opensslKey(row, key), iv).setAutoPadding(false);
    this.#layout = layout;
  }

  /** The plaintext of each packet that is there, `undefined` for each that is not. */
  decrypt(packets: readonly (Uint8Array | undefined)[]): (Uint8Array | undefined)[] {
    const { ivBytes, icvBytes } = this.#layout;
    let total = 0;
    for (const packet of packets)
      if (packet !== undefined) total += packet.length - espHeaderBytes - icvBytes;
    const chain = workspaceOf(total);
    let at = 0;
    for (const packet of packets) {
      if (packet === undefined) continue;
      chain.set(packet.subarray(espHeaderBytes, packet.length - icvBytes), at);
      at += packet.length - espHeaderBytes - icvBytes;
    }
    const decrypted = this.#decipher.update(chain.subarray(0, total));
    at = 0;
    return packets.map(packet => {
      if (packet === undefined) return undefined;
      const start = at;
      at += packet.length - espHeaderBytes - icvBytes;
      return decrypted.subarray(start + ivBytes, at);
    });
  }
}
