/**
 * IKE key derivation: the prf (HMAC of the negotiated hash), the SKEYID family, the IKE cipher key and
 * KEYMAT. RFC 2409 sections 5, 5.5 and appendix B.
 */
import { createHash, createHmac } from 'node:crypto';
import { type EncryptionId, encryption, type HashId, hash as hashRow } from './algorithms.js';

/** prf(key, parts joined): HMAC with the negotiated hash. */
export function prf(hash: HashId, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac(hashRow(hash).opensslName, key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** hash(parts joined): the plain negotiated hash (IVs, NAT-D). */
export function digest(hash: HashId, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(hashRow(hash).opensslName);
  for (const part of parts) state.update(part);
  return state.digest();
}

/** SKEYID of preshared key authentication: prf(PSK, Ni_b | Nr_b). */
export function presharedSkeyid(
  hash: HashId,
  presharedKey: Uint8Array,
  initiatorNonce: Uint8Array,
  responderNonce: Uint8Array,
): Uint8Array {
  return prf(hash, presharedKey, initiatorNonce, responderNonce);
}

/** SKEYID of signature and GSS authentication: prf(Ni_b | Nr_b, g^xy). */
export function signatureSkeyid(
  hash: HashId,
  initiatorNonce: Uint8Array,
  responderNonce: Uint8Array,
  sharedSecret: Uint8Array,
): Uint8Array {
  return prf(hash, Buffer.concat([initiatorNonce, responderNonce]), sharedSecret);
}

export interface SkeyidFamily {
  /** Derives the keys of quick mode. */
  readonly d: Uint8Array;
  /** Authenticates phase-2 messages. */
  readonly a: Uint8Array;
  /** Encrypts IKE messages. */
  readonly e: Uint8Array;
}

/** SKEYID_d, SKEYID_a and SKEYID_e (RFC 2409 5). */
export function skeyidFamily(
  hash: HashId,
  skeyid: Uint8Array,
  sharedSecret: Uint8Array,
  initiatorCookie: Uint8Array,
  responderCookie: Uint8Array,
): SkeyidFamily {
  const common = [sharedSecret, initiatorCookie, responderCookie];
  const d = prf(hash, skeyid, ...common, Uint8Array.of(0));
  const a = prf(hash, skeyid, d, ...common, Uint8Array.of(1));
  const e = prf(hash, skeyid, a, ...common, Uint8Array.of(2));
  return { d, a, e };
}

/** Ka, the key that encrypts IKE messages: the start of SKEYID_e, expanded when that is too short. */
export function ikeCipherKey(hash: HashId, skeyidE: Uint8Array, cipher: EncryptionId): Uint8Array {
  const { keyBytes } = encryption(cipher);
  if (skeyidE.length >= keyBytes) return Uint8Array.from(skeyidE.subarray(0, keyBytes));
  return stretch(keyBytes, previous => prf(hash, skeyidE, previous ?? Uint8Array.of(0)));
}

/** What keys one SA (RFC 2409 5.5): the SPI is the one the SA's receiver chose. */
export interface KeymatSeed {
  /** IPsec protocol number of the proposal: 2 AH, 3 ESP. */
  readonly protocol: number;
  readonly spi: number;
  /** Nonces of the quick mode. */
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
  /** g^xy of the quick mode's own exchange, with PFS. */
  readonly sharedSecret?: Uint8Array;
}

/** `length` bytes of KEYMAT: the cipher key (and salt) first, then the integrity key. */
export function keymat(hash: HashId, skeyidD: Uint8Array, seed: KeymatSeed, length: number): Uint8Array {
  const spi = Buffer.alloc(4);
  spi.writeUInt32BE(seed.spi);
  const tail = [
    seed.sharedSecret ?? new Uint8Array(0),
    Uint8Array.of(seed.protocol),
    spi,
    seed.initiatorNonce,
    seed.responderNonce,
  ];
  return stretch(length, previous =>
    prf(hash, skeyidD, ...(previous === undefined ? [] : [previous]), ...tail),
  );
}

/** K1 | K2 | …, cut to `length`: each block made from the one before. */
function stretch(length: number, next: (previous: Uint8Array | undefined) => Uint8Array): Uint8Array {
  const blocks: Uint8Array[] = [];
  let total = 0;
  while (total < length) {
    const block = next(blocks.at(-1));
    blocks.push(block);
    total += block.length;
  }
  return Uint8Array.from(Buffer.concat(blocks).subarray(0, length));
}
