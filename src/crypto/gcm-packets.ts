/** AES-GCM in ESP (RFC 4106): nonce = salt | IV, additional data = SPI | sequence number (32 or 64 bits), tag = ICV. */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { espHeaderBytes } from '../wire/esp.js';
import { writeU32 } from '../wire/ip/packet.js';
import type { EncryptionAlgorithm } from './algorithms.js';
import type { EspKeys, EspOpener, EspSealer, EspSlot } from './packet-cipher.js';

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
  /** SPI, high and low half of an extended sequence number (RFC 4106 5); absent where numbers have 32 bits. */
  readonly #extendedHeader: Buffer | undefined;

  constructor(row: EncryptionAlgorithm, { encryptionKey: keyAndSalt, extendedSequence }: EspKeys) {
    this.name = gcmName(row);
    this.key = createSecretKey(keyAndSalt.subarray(0, row.keyBytes));
    this.saltBytes = row.saltBytes;
    this.ivBytes = row.ivBytes;
    this.tagBytes = row.tagBytes ?? 16;
    this.nonce = Buffer.alloc(row.saltBytes + row.ivBytes);
    this.nonce.set(keyAndSalt.subarray(row.keyBytes));
    this.#extendedHeader = extendedSequence === true ? Buffer.alloc(espHeaderBytes + 4) : undefined;
  }

  /** What is authenticated besides the ciphertext; to be used before it is asked for again. */
  additionalData(header: Uint8Array, sequenceHigh: number): Uint8Array {
    const extended = this.#extendedHeader;
    if (extended === undefined) return header;
    extended.set(header.subarray(0, 4));
    writeU32(extended, 4, sequenceHigh);
    extended.set(header.subarray(4), 8);
    return extended;
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

  constructor(row: EncryptionAlgorithm, keys: EspKeys) {
    this.#gcm = new GcmKey(row, keys);
  }

  seal(slots: readonly EspSlot[]): void {
    const { name, key, nonce, saltBytes, ivBytes, tagBytes } = this.#gcm;
    for (const { bytes, start, end, sequenceHigh } of slots) {
      const ivStart = start + espHeaderBytes;
      const dataStart = ivStart + ivBytes;
      const tagStart = end - tagBytes;
      // The sequence number never repeats under a key, so it is the IV's counter (RFC 4106 3.1).
      const header = bytes.subarray(start, ivStart);
      writeU32(bytes, ivStart, sequenceHigh);
      bytes.copyWithin(dataStart - 4, ivStart - 4, ivStart);
      nonce.set(bytes.subarray(ivStart, dataStart), saltBytes);
      const cipher = createCipheriv(name, key, nonce, { authTagLength: tagBytes });
      cipher.setAAD(this.#gcm.additionalData(header, sequenceHigh));
      bytes.set(cipher.update(bytes.subarray(dataStart, tagStart)), dataStart);
      cipher.final();
      bytes.set(cipher.getAuthTag(), tagStart);
    }
  }
}

export class GcmOpener implements EspOpener {
  readonly #gcm: GcmKey;

  constructor(row: EncryptionAlgorithm, keys: EspKeys) {
    this.#gcm = new GcmKey(row, keys);
  }

  open(packets: readonly Uint8Array[], sequenceHighs?: readonly number[]): (Uint8Array | undefined)[] {
    return packets.map((packet, i) => this.#open(packet, sequenceHighs?.[i]));
  }

  otherIcvBytes(packet: Uint8Array, sequenceHigh?: number): number | undefined {
    const { ivBytes, tagBytes } = this.#gcm;
    return tagLengths.find(
      bytes =>
        bytes !== tagBytes &&
        packet.length >= espHeaderBytes + ivBytes + bytes &&
        this.#open(packet, sequenceHigh, bytes) !== undefined,
    );
  }

  #open(packet: Uint8Array, sequenceHigh = 0, tagBytes = this.#gcm.tagBytes): Uint8Array | undefined {
    const { name, key, nonce, saltBytes, ivBytes } = this.#gcm;
    const dataStart = espHeaderBytes + ivBytes;
    const tagStart = packet.length - tagBytes;
    nonce.set(packet.subarray(espHeaderBytes, dataStart), saltBytes);
    const decipher = createDecipheriv(name, key, nonce, { authTagLength: tagBytes });
    decipher.setAAD(this.#gcm.additionalData(packet.subarray(0, espHeaderBytes), sequenceHigh));
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
