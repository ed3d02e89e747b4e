/**
 * ESP transforms: what turns laid-out plaintext into protected packets and back, a vector at a time. Which one an
 * SA uses follows from its algorithms alone; everything about sizes comes from `algorithms.ts`.
 */
import { type EspLayout, espHeaderBytes } from '../wire/esp.js';
import { type EncryptionId, encryption, type HashId, hash as hashRow } from './algorithms.js';
import { CbcDecryptor, CbcEncryptor } from './cbc-packets.js';
import { isWeakKey } from './des-keys.js';
import { GcmOpener, GcmSealer } from './gcm-packets.js';
import { otherIcvLengths, PacketMac } from './packet-mac.js';
import type { RandomPool } from './random-pool.js';

/** The keys of one ESP SA. */
export interface EspKeys {
  readonly encryption: EncryptionId;
  /** Absent for a combined-mode cipher, and for ESP without integrity. */
  readonly hash?: HashId;
  /** Cipher key followed by the salt. */
  readonly encryptionKey: Uint8Array;
  readonly integrityKey: Uint8Array;
  /** ICV length where it is not the table's. */
  readonly icvBytes?: number;
  /** Sequence numbers have 64 bits: the ICV covers those that are not sent (RFC 4303 2.2.1). */
  readonly extendedSequence?: boolean;
}

/** One packet to protect: `bytes[start..end)` is SPI, sequence number, room for the IV, plaintext, room for the ICV. */
export interface EspSlot {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** The bits of its sequence number that are not sent; 0 unless the SA has extended ones. */
  readonly sequenceHigh: number;
}

/** Protects the packets of one SA. */
export interface EspSealer {
  /** Encrypts the slots in place and fills in IV and ICV. */
  seal(slots: readonly EspSlot[]): void;
}

/** Opens the packets of one SA. */
export interface EspOpener {
  /**
   * For each packet (whole: SPI to ICV, of a length that suits the layout) the decrypted bytes, trailer still on, in new
   * memory or, with NULL encryption, as a view on the packet; `undefined` where the ICV is wrong. `sequenceHighs` are the
   * bits of each packet's sequence number that were not sent, where the SA has extended ones.
   */
  open(packets: readonly Uint8Array[], sequenceHighs?: readonly number[]): (Uint8Array | undefined)[];
  /** The ICV length, other than the agreed one, under which the packet would be genuine; for diagnosis only. */
  otherIcvBytes(packet: Uint8Array, sequenceHigh?: number): number | undefined;
}

/** The sizes of an SA's packets. */
export function espLayout(keys: Pick<EspKeys, 'encryption' | 'hash' | 'icvBytes'>): EspLayout {
  const { ivBytes, blockBytes, tagBytes } = encryption(keys.encryption);
  const hashIcvBytes = keys.hash === undefined ? 0 : (keys.icvBytes ?? hashRow(keys.hash).icvBytes);
  return { ivBytes, blockBytes, icvBytes: tagBytes ?? hashIcvBytes };
}

/**
 * Why these keys cannot be used, a sentence fragment; `undefined` when they can. Weak DES keys are refused (RFC 2405
 * 2.3, 2451 2.3). Whether ESP has to encrypt or authenticate (RFC 2410 3) depends on what is around it.
 */
export function espKeyFault(keys: EspKeys): string | undefined {
  const row = encryption(keys.encryption);
  const wanted = row.keyBytes + row.saltBytes;
  if (keys.encryptionKey.length !== wanted)
    return `${row.name} wants ${wanted} bytes of key and salt, not ${keys.encryptionKey.length}`;
  const digestBytes = keys.hash === undefined ? 0 : hashRow(keys.hash).digestBytes;
  if (keys.integrityKey.length !== digestBytes)
    return `the integrity key must have ${digestBytes} bytes, not ${keys.integrityKey.length}`;
  if (row.tagBytes !== undefined && keys.hash !== undefined)
    return `${row.name} authenticates by itself and takes no integrity algorithm`;
  if (isWeakKey(keys.encryption, keys.encryptionKey)) return `a weak ${row.name} key`;
  return undefined;
}

/** The sending half. Keys must be free of `espKeyFault`. */
export function createEspSealer(keys: EspKeys, random: RandomPool): EspSealer {
  const row = encryption(keys.encryption);
  if (row.tagBytes !== undefined) return new GcmSealer(row, keys);
  const layout = espLayout(keys);
  const encryptor =
    row.keyBytes === 0 ? undefined : new CbcEncryptor(row, keys.encryptionKey, layout, random);
  return new EncryptThenMac(encryptor, macOf(keys), keys);
}

/** The receiving half. Keys must be free of `espKeyFault`. */
export function createEspOpener(keys: EspKeys): EspOpener {
  const row = encryption(keys.encryption);
  if (row.tagBytes !== undefined) return new GcmOpener(row, keys);
  const layout = espLayout(keys);
  const decryptor = row.keyBytes === 0 ? undefined : new CbcDecryptor(row, keys.encryptionKey, layout);
  return new VerifyThenDecrypt(decryptor, macOf(keys), keys);
}

function macOf(keys: EspKeys): PacketMac | undefined {
  return keys.hash === undefined ? undefined : new PacketMac(keys.hash, keys.integrityKey, keys.icvBytes);
}

class EncryptThenMac implements EspSealer {
  readonly #encryptor: CbcEncryptor | undefined;
  readonly #mac: PacketMac | undefined;
  readonly #extended: boolean;

  constructor(encryptor: CbcEncryptor | undefined, mac: PacketMac | undefined, keys: EspKeys) {
    this.#encryptor = encryptor;
    this.#mac = mac;
    this.#extended = keys.extendedSequence === true;
  }

  seal(slots: readonly EspSlot[]): void {
    this.#encryptor?.encrypt(slots);
    if (this.#mac === undefined) return;
    for (const slot of slots) {
      const icvStart = slot.end - this.#mac.icvBytes;
      this.#mac.load(slot.bytes, slot.start, icvStart);
      if (this.#extended) this.#mac.append(slot.sequenceHigh);
      this.#mac.sign(slot.bytes, icvStart);
    }
  }
}

class VerifyThenDecrypt implements EspOpener {
  readonly #decryptor: CbcDecryptor | undefined;
  readonly #mac: PacketMac | undefined;
  readonly #keys: EspKeys;

  constructor(decryptor: CbcDecryptor | undefined, mac: PacketMac | undefined, keys: EspKeys) {
    this.#decryptor = decryptor;
    this.#mac = mac;
    this.#keys = keys;
  }

  open(packets: readonly Uint8Array[], sequenceHighs?: readonly number[]): (Uint8Array | undefined)[] {
    const genuine = packets.map((packet, i) =>
      this.#isGenuine(packet, sequenceHighs?.[i]) ? packet : undefined,
    );
    if (this.#decryptor !== undefined) return this.#decryptor.decrypt(genuine);
    const icvBytes = this.#mac?.icvBytes ?? 0;
    return genuine.map(packet => packet?.subarray(espHeaderBytes, packet.length - icvBytes));
  }

  otherIcvBytes(packet: Uint8Array, sequenceHigh?: number): number | undefined {
    const { hash, integrityKey } = this.#keys;
    if (hash === undefined || this.#mac === undefined) return undefined;
    return otherIcvLengths(hash, this.#mac.icvBytes).find(other => {
      const icvStart = packet.length - other;
      if (icvStart < espHeaderBytes) return false;
      const mac = new PacketMac(hash, integrityKey, other);
      return this.#verify(mac, packet, sequenceHigh);
    });
  }

  #isGenuine(packet: Uint8Array, sequenceHigh: number | undefined): boolean {
    return this.#mac === undefined || this.#verify(this.#mac, packet, sequenceHigh);
  }

  #verify(mac: PacketMac, packet: Uint8Array, sequenceHigh = 0): boolean {
    const icvStart = packet.length - mac.icvBytes;
    mac.load(packet, 0, icvStart);
    if (this.#keys.extendedSequence === true) mac.append(sequenceHigh);
    return mac.verify(packet, icvStart);
  }
}
