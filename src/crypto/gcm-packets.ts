/** AES-GCM in ESP (RFC 4106): nonce = salt | IV, additional data = SPI | sequence number, tag = ICV. */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { espHeaderBytes } from '../wire/esp.js';
import type { EncryptionAlgorithm } from './algorithms.js';
import type { EspOpener, EspSealer, EspSlot } from './packet-cipher.js';

/** Of AES-GCM in ESP, in bytes (RFC 4106 6). */
const tagLengths = [8, 12, 16] as const;

/** What sealing and opening share: the key, its sizes, and the nonce with the salt in place. */
class GcmKey {
  readonly name: CipherGCMTypes;
  readonly key: KeyObject;
  readonly nonce: Buffer;
  readonly saltBytes: number;
  readonly ivBytes: number;
  readonly tagBytes: number;

  constructor(row: EncryptionAlgorithm, keyAndSalt: Uint8Array) {
    this.name = gcmName(row);
    this.key = createSecretKey(keyAndSalt.subarray(0, row.keyBytes));
    this.saltBytes = row.saltBytes;
    this.ivBytes = row.ivBytes;
    this.tagBytes = row.tagBytes ?? 16;
    this.nonce = Buffer.alloc(row.saltBytes + row.ivBytes);
    this.nonce.set(keyAndSalt.subarray(row.keyBytes));
  }
}

function gcmName(row: EncryptionAlgorithm): CipherGCMTypes {
  const { opensslName } = row;
  if (opensslName === 'aes-128-gcm' || opensslName === 'aes-192-gcm' || opensslName === 'aes-256-gcm')
    return opensslName;
  throw new TypeError(`${row.name} is no GCM cipher`);
}

export class GcmSealer implements EspSealer {
  readonly #gcm: GcmKey;

  constructor(row: EncryptionAlgorithm, keyAndSalt: Uint8Array) {
    this.#gcm = new GcmKey(row, keyAndSalt);
  }

  seal(slots: readonly EspSlot[]): void {
    const { name, key, nonce, saltBytes, ivBytes, tagBytes } = this.#gcm;
    for (const { bytes, start, end } of slots) {
      const ivStart = start + espHeaderBytes;
      const dataStart = ivStart + ivBytes;
      const tagStart = end - tagBytes;
      // The sequence number never repeats under a key, so it is the IV's counter (RFC 4106 3.1).
      const header = bytes.subarray(start, ivStart);
      bytes.fill(0, ivStart, dataStart - 4);
      bytes.copyWithin(dataStart - 4, ivStart - 4, ivStart);
      nonce.set(bytes.subarray(ivStart, dataStart), saltBytes);
      const cipher = createCipheriv(name, key, nonce, { authTagLength: tagBytes });
      cipher.setAAD(header);
      bytes.set(cipher.update(bytes.subarray(dataStart, tagStart)), dataStart);
      cipher.final();
      bytes.set(cipher.getAuthTag(), tagStart);
    }
  }
}

export class GcmOpener implements EspOpener {
  readonly #gcm: GcmKey;

  constructor(row: EncryptionAlgorithm, keyAndSalt: Uint8Array) {
    this.#gcm = new GcmKey(row, keyAndSalt);
  }

  open(packets: readonly Uint8Array[]): (Uint8Array | undefined)[] {
    return packets.map(packet => this.#open(packet));
  }

  otherIcvBytes(packet: Uint8Array): number | undefined {
    const { ivBytes, tagBytes } = this.#gcm;
    return tagLengths.find(
      bytes =>
        bytes !== tagBytes &&
        packet.length >= espHeaderBytes + ivBytes + bytes &&
        this.#open(packet, bytes) !== undefined,
    );
  }

  #open(packet: Uint8Array, tagBytes = this.#gcm.tagBytes): Uint8Array | undefined {
    const { name, key, nonce, saltBytes, ivBytes } = this.#gcm;
    const dataStart = espHeaderBytes + ivBytes;
    const tagStart = packet.length - tagBytes;
    nonce.set(packet.subarray(espHeaderBytes, dataStart), saltBytes);
    const decipher = createDecipheriv(name, key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(packet.subarray(0, espHeaderBytes));
    decipher.setAuthTag(packet.subarray(tagStart));
    const plaintext = decipher.update(packet.subarray(dataStart, tagStart));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  }
}
