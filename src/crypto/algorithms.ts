/**
 * The one table of algorithms: what each is called (ipsecpol and IANA), its numbers in IKE phase 1, ESP and
 * AH, its sizes, its OpenSSL name and how strong it is. Parsing, negotiating, printing and documenting all
 * read it. Sources: RFC 2407, 2409, 3526, 3602, 4106, 4868, 5903, IANA isakmp-registry and ipsec-registry.
 */

/** `broken` can be read by anyone with a computer, `weak` by a state, `legacy` is aged, `strong` is today's. */
export type Strength = 'broken' | 'weak' | 'legacy' | 'strong';

export interface EncryptionAlgorithm {
  /** As written in `ESP[…]` and `-1s`. */
  readonly name: string;
  /** OAKLEY attribute 1 value (RFC 2409 appendix A); absent where IKE itself cannot use it. */
  readonly ikeId?: number;
  /** ESP transform id (RFC 2407 4.4.4); absent where ESP cannot use it. */
  readonly espId?: number;
  /** Value of the key length attribute in bits; absent where the attribute must not be sent. */
  readonly keyLengthBits?: number;
  readonly keyBytes: number;
  /** Salt taken from KEYMAT after the key (RFC 4106). */
  readonly saltBytes: number;
  readonly blockBytes: number;
  /** IV sent in every ESP packet. */
  readonly ivBytes: number;
  /** ICV of a combined-mode cipher; absent for a cipher that wants a separate integrity algorithm. */
  readonly tagBytes?: number;
  readonly opensslName?: string;
  readonly strength: Strength;
}

export const encryptionAlgorithms = {
  des: {
    name: 'DES',
    ikeId: 1,
    espId: 2,
    keyBytes: 8,
    saltBytes: 0,
    blockBytes: 8,
    ivBytes: 8,
    opensslName: 'des-ede3-cbc',
    strength: 'broken',
  },
  '3des': {
    name: '3DES',
    ikeId: 5,
    espId: 3,
    keyBytes: 24,
    saltBytes: 0,
    blockBytes: 8,
    ivBytes: 8,
    opensslName: 'des-ede3-cbc',
    strength: 'legacy',
  },
  aes128: {
    name: 'AES128',
    ikeId: 7,
    espId: 12,
    keyLengthBits: 128,
    keyBytes: 16,
    saltBytes: 0,
    blockBytes: 16,
    ivBytes: 16,
    opensslName: 'aes-128-cbc',
    strength: 'strong',
  },
  aes192: {
    name: 'AES192',
    ikeId: 7,
    espId: 12,
    keyLengthBits: 192,
    keyBytes: 24,
    saltBytes: 0,
    blockBytes: 16,
    ivBytes: 16,
    opensslName: 'aes-192-cbc',
    strength: 'strong',
  },
  aes256: {
    name: 'AES256',
    ikeId: 7,
    espId: 12,
    keyLengthBits: 256,
    keyBytes: 32,
    saltBytes: 0,
    blockBytes: 16,
    ivBytes: 16,
    opensslName: 'aes-256-cbc',
    strength: 'strong',
  },
  aes128gcm: {
    name: 'AES128-GCM',
    espId: 20,
    keyLengthBits: 128,
    keyBytes: 16,
    saltBytes: 4,
    blockBytes: 4,
    ivBytes: 8,
    tagBytes: 16,
    opensslName: 'aes-128-gcm',
    strength: 'strong',
  },
  aes192gcm: {
    name: 'AES192-GCM',
    espId: 20,
    keyLengthBits: 192,
    keyBytes: 24,
    saltBytes: 4,
    blockBytes: 4,
    ivBytes: 8,
    tagBytes: 16,
    opensslName: 'aes-192-gcm',
    strength: 'strong',
  },
  aes256gcm: {
    name: 'AES256-GCM',
    espId: 20,
    keyLengthBits: 256,
    keyBytes: 32,
    saltBytes: 4,
    blockBytes: 4,
    ivBytes: 8,
    tagBytes: 16,
    opensslName: 'aes-256-gcm',
    strength: 'strong',
  },
  null: { name: 'NONE', espId: 11, keyBytes: 0, saltBytes: 0, blockBytes: 4, ivBytes: 0, strength: 'broken' },
} as const satisfies Record<string, EncryptionAlgorithm>;

/** Key of `encryptionAlgorithms`. */
export type EncryptionId = keyof typeof encryptionAlgorithms;

export interface HashAlgorithm {
  /** As written in `AH[…]`, `ESP[…,…]` and `-1s`. */
  readonly name: string;
  /** Other spellings understood on input. */
  readonly aliases: readonly string[];
  /** OAKLEY attribute 2 value (RFC 2409 appendix A). */
  readonly ikeId: number;
  /** AH transform id (RFC 2407 4.4.3). */
  readonly ahId: number;
  /** Authentication algorithm attribute of ESP and AH (RFC 2407 4.5). */
  readonly authId: number;
  /** Digest, and HMAC key in ESP and AH. */
  readonly digestBytes: number;
  /** Truncated ICV in ESP and AH. */
  readonly icvBytes: number;
  readonly opensslName: string;
  readonly strength: Strength;
}

export const hashAlgorithms = {
  md5: {
    name: 'MD5',
    aliases: [],
    ikeId: 1,
    ahId: 2,
    authId: 1,
    digestBytes: 16,
    icvBytes: 12,
    opensslName: 'md5',
    strength: 'weak',
  },
  sha1: {
    name: 'SHA',
    aliases: ['SHA1'],
    ikeId: 2,
    ahId: 3,
    authId: 2,
    digestBytes: 20,
    icvBytes: 12,
    opensslName: 'sha1',
    strength: 'legacy',
  },
  sha256: {
    name: 'SHA256',
    aliases: [],
    ikeId: 4,
    ahId: 5,
    authId: 5,
    digestBytes: 32,
    icvBytes: 16,
    opensslName: 'sha256',
    strength: 'strong',
  },
  sha384: {
    name: 'SHA384',
    aliases: [],
    ikeId: 5,
    ahId: 6,
    authId: 6,
    digestBytes: 48,
    icvBytes: 24,
    opensslName: 'sha384',
    strength: 'strong',
  },
  sha512: {
    name: 'SHA512',
    aliases: [],
    ikeId: 6,
    ahId: 7,
    authId: 7,
    digestBytes: 64,
    icvBytes: 32,
    opensslName: 'sha512',
    strength: 'strong',
  },
} as const satisfies Record<string, HashAlgorithm>;

/** Key of `hashAlgorithms`. */
export type HashId = keyof typeof hashAlgorithms;

interface DhGroupBase {
  /** OAKLEY attribute 4 value. */
  readonly id: number;
  /** As strongSwan and `--ike` name it. */
  readonly name: string;
  /** Size of the prime. */
  readonly bits: number;
  readonly strength: Strength;
}

/** Powers of 2 modulo a prime. */
export interface ModpGroup extends DhGroupBase {
  readonly kind: 'modp';
  /** Length of the public value and of the shared secret. */
  readonly bytes: number;
  /** Name of the group in Node's `crypto.getDiffieHellman`. */
  readonly nodeName: string;
}

/** Points of an elliptic curve: the public value is X | Y, the shared secret is X. */
export interface EcpGroup extends DhGroupBase {
  readonly kind: 'ecp';
  /** Length of one coordinate, and of the shared secret. */
  readonly coordinateBytes: number;
  /** Name of the curve in Node's `crypto.createECDH`. */
  readonly curve: string;
}

export type DhGroup = ModpGroup | EcpGroup;

export const dhGroups = {
  1: { kind: 'modp', id: 1, name: 'modp768', bits: 768, bytes: 96, nodeName: 'modp1', strength: 'broken' },
  2: { kind: 'modp', id: 2, name: 'modp1024', bits: 1024, bytes: 128, nodeName: 'modp2', strength: 'weak' },
  5: { kind: 'modp', id: 5, name: 'modp1536', bits: 1536, bytes: 192, nodeName: 'modp5', strength: 'legacy' },
  14: {
    kind: 'modp',
    id: 14,
    name: 'modp2048',
    bits: 2048,
    bytes: 256,
    nodeName: 'modp14',
    strength: 'strong',
  },
  15: {
    kind: 'modp',
    id: 15,
    name: 'modp3072',
    bits: 3072,
    bytes: 384,
    nodeName: 'modp15',
    strength: 'strong',
  },
  16: {
    kind: 'modp',
    id: 16,
    name: 'modp4096',
    bits: 4096,
    bytes: 512,
    nodeName: 'modp16',
    strength: 'strong',
  },
  17: {
    kind: 'modp',
    id: 17,
    name: 'modp6144',
    bits: 6144,
    bytes: 768,
    nodeName: 'modp17',
    strength: 'strong',
  },
  18: {
    kind: 'modp',
    id: 18,
    name: 'modp8192',
    bits: 8192,
    bytes: 1024,
    nodeName: 'modp18',
    strength: 'strong',
  },
  19: {
    kind: 'ecp',
    id: 19,
    name: 'ecp256',
    bits: 256,
    coordinateBytes: 32,
    curve: 'prime256v1',
    strength: 'strong',
  },
  20: {
    kind: 'ecp',
    id: 20,
    name: 'ecp384',
    bits: 384,
    coordinateBytes: 48,
    curve: 'secp384r1',
    strength: 'strong',
  },
  21: {
    kind: 'ecp',
    id: 21,
    name: 'ecp521',
    bits: 521,
    coordinateBytes: 66,
    curve: 'secp521r1',
    strength: 'strong',
  },
} as const satisfies Record<number, DhGroup>;

/** OAKLEY group number of a group we can compute. */
export type GroupId = keyof typeof dhGroups;

/** All ids of each table, typed, in table order. */
export const encryptionIds = Object.keys(encryptionAlgorithms) as EncryptionId[];
export const hashIds = Object.keys(hashAlgorithms) as HashId[];
export const groupIds = Object.keys(dhGroups).map(Number) as GroupId[];

/** The table row, widened so that optional columns can be read of any algorithm. */
export function encryption(id: EncryptionId): EncryptionAlgorithm {
  return encryptionAlgorithms[id];
}

/** The table row of a hash. */
export function hash(id: HashId): HashAlgorithm {
  return hashAlgorithms[id];
}

/** The table row of a group. */
export function group(id: GroupId): DhGroup {
  return dhGroups[id];
}
