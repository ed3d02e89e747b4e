import type { Guid } from '../../model.js';
import { bytes, flag32, list, reserved, struct, u8, u32, type Values } from './fields.js';
import { blob } from './frame.js';

const method = {
  version: reserved(4),
  encryption: u32,
  encryptionKeyBits: reserved(4),
  encryptionRounds: reserved(4),
  hash: u32,
  hashKeyBits: reserved(4),
  hashRounds: reserved(4),
  reserved1: reserved(8),
  /** 0, or a row of `strongMethods`, which then says all. */
  strongMethod: u8,
  reserved2: reserved(7),
  group: u32,
  quickModeLimit: u32,
  lifetimeKilobytes: reserved(4),
  lifetimeSeconds: u32,
  // Garbage in real data; the policy's own flag counts.
  identityProtection: reserved(4),
};

/** One main-mode offer as stored; ids are those of the tables below. */
export type IsakmpMethodData = Values<typeof method>;

const isakmp = struct({
  instance: reserved(16),
  reserved1: reserved(4),
  masterKeyPfs: flag32,
  /** Bit 0: certificates map to accounts. Bit 1: certificate requests name no CA. */
  options: u32,
  /** Rows of `strongMethods` offered before `methods`; the first 0 ends them (2003 and later). */
  strongMethods: bytes(4),
  quickModeLimit: u32,
  /** 0 is eight hours. */
  lifetimeSeconds: u32,
  reserved2: reserved(20),
  methods: list(struct(method)),
});

/** `ipsecData` of an ipsecISAKMPPolicy object (`policy-store.md` 4.2). */
export const isakmpData = blob('ipsecISAKMPPolicy', '{80DC20B8-2EC8-11D1-A89E-00A0248D3021}' as Guid, isakmp);

export type IsakmpData = ReturnType<typeof isakmpData.decode>;

export const isakmpOptions = { certificateToAccount: 1, excludeCaNames: 2 } as const;

/** Numbers of ciphers, hashes and groups in main-mode methods. 2 also means 3DES. */
export const isakmpEncryption = { des: 1, '3des': 3 } as const;
export const isakmpHash = { md5: 1, sha1: 2 } as const;
export const isakmpGroup = { 1: 1, 2: 2, 14: 0x1000_0001 } as const;

/** Methods with group 14 that a single byte stands for, from 1 on. */
export const strongMethods = [
  { encryption: 'des', hash: 'md5' },
  { encryption: 'des', hash: 'sha1' },
  { encryption: '3des', hash: 'md5' },
  { encryption: '3des', hash: 'sha1' },
] as const;
