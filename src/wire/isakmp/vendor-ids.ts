import { fromHex } from '../bytes.js';

/** A vendor ID we know. */
export interface VendorId {
  /** Short and stable: events, `sa list` and code refer to it. */
  readonly name: string;
  /** What peers send; with `prefix`, what it starts with. */
  readonly bytes: Uint8Array;
  /** `prefix`: more bytes (a version, capabilities) may follow. */
  readonly match: 'exact' | 'prefix';
  readonly meaning: string;
}

function vendorId(name: string, match: VendorId['match'], hex: string, meaning: string) {
  return { name, bytes: fromHex(hex), match, meaning } as const satisfies VendorId;
}

/** The table ([MS-IKEE] 1.7 note 6 and 3.1, RFC 3706, RFC 3947, the drafts). The first entry that matches wins. */
export const vendorIds = {
  msNt5: vendorId(
    'MS NT5 ISAKMPOAKLEY',
    'prefix',
    '1e2b516905991c7d7c96fcbfb587e461',
    'Windows; its version follows, 4 bytes',
  ),
  gssapi: vendorId(
    'GSSAPI',
    'exact',
    '621b04bb09882ac1e15935fefa24aeee',
    'Windows, offering Kerberos authentication',
  ),
  gssapiDraft: vendorId(
    'A GSS-API Authentication Method for IKE',
    'exact',
    'ad2c0dd0b9c32083ccba25b8861ec455',
    'racoon and others: GSS-API authentication',
  ),
  gssapiDraftNewline: vendorId(
    'A GSS-API Authentication Method for IKE (with newline)',
    'exact',
    'b46d8914f3aaa3f2fedeb7c7db2943ca',
    'GSS-API authentication, as printed in the draft',
  ),
  initialContact: vendorId(
    'Vid-Initial-Contact',
    'exact',
    '26244d38eddb61b3172a36e3d0cfb819',
    'Windows initiator without a main mode SA to the peer',
  ),
  nlbsPresent: vendorId(
    'NLBS_PRESENT',
    'exact',
    '72872b95fcda2eb708efe322119b4971',
    'clustered Windows server',
  ),
  fragmentation: vendorId(
    'FRAGMENTATION',
    'prefix',
    '4048b7d56ebce88525e7de7f00d6c2d3',
    'IKE fragmentation; capability bits may follow',
  ),
  natTRfc3947: vendorId('RFC 3947', 'exact', '4a131c81070358455c5728f20e95452f', 'NAT traversal, final'),
  natTDraft02Newline: vendorId(
    'draft-ietf-ipsec-nat-t-ike-02 (with newline)',
    'exact',
    '90cb80913ebb696e086381b5ec427b1f',
    'NAT traversal, draft 02, as Windows sends it',
  ),
  natTDraft02: vendorId(
    'draft-ietf-ipsec-nat-t-ike-02',
    'exact',
    'cd60464335df21f87cfdb2fc68b6a448',
    'NAT traversal, draft 02',
  ),
  natTDraft03: vendorId(
    'draft-ietf-ipsec-nat-t-ike-03',
    'exact',
    '7d9419a65310ca6f2c179d9215529d56',
    'NAT traversal, draft 03',
  ),
  natTDraft00: vendorId(
    'draft-ietf-ipsec-nat-t-ike-00',
    'exact',
    '4485152d18b6bbcd0be8a8469579ddcc',
    'NAT traversal, draft 00: not usable',
  ),
  mamieExists: vendorId(
    'MS-MamieExists',
    'exact',
    '214ca4faffa7f32d6748e5303395ae83',
    'Windows Vista or later: speaks AuthIP too',
  ),
  negotiationDiscovery: vendorId(
    'MS-Negotiation Discovery Capable',
    'exact',
    'fb1de3cdf341b7ea16b7e5be0855f120',
    'Windows Vista or later',
  ),
  ikeCga: vendorId(
    'IKE CGA version 1',
    'exact',
    'e3a5966a76379fe707228231e5ce8652',
    'Windows Vista or later: cryptographically generated addresses',
  ),
  keyMods: vendorId(
    'KEY_MODS',
    'prefix',
    '01528bbbc00696121849ab9a1c5b2a51',
    'Windows 7 or later; the protocol follows, 4 bytes',
  ),
  authIpInitKeGroup: vendorId(
    'AUTHIP_INIT_KE_DH_GROUP',
    'prefix',
    '7bb93867d76c8d80df0f40fae8fc3b19',
    'Windows 8 or later; a group follows, 4 bytes',
  ),
  dpd: vendorId('DPD 1.0', 'exact', 'afcad71368a1f1c96b8696fc77570100', 'dead peer detection (RFC 3706)'),
  ciscoUnity: vendorId(
    'Cisco Unity',
    'prefix',
    '12f5f28c457168a9702d9fe274cc',
    'Cisco extensions of mode-config: banner, split tunnels; a version follows, 2 bytes',
  ),
  xauth: vendorId('XAUTH', 'exact', '09002689dfd6b712', 'extended authentication'),
  /** MD5 of our name. */
  ipseckit: vendorId('ipseckit', 'exact', '48f1d62b80d070a94269c6ceafbe47ca', 'ipseckit'),
  strongSwan: vendorId('strongSwan', 'exact', '882fe56d6fd20dbc2251613b2ebe5beb', 'strongSwan'),
  /** Its name in plain text, when it is told to send it. */
  libreswan: vendorId('libreswan', 'prefix', '4f452d4c696272657377616e2d', 'libreswan; its version follows'),
  racoon: vendorId('KAME/racoon', 'exact', '7003cbc1097dbe9c2600ba6983bc8b35', 'KAME racoon'),
  ipsecTools: vendorId('IPSec-Tools', 'exact', '20a3622c1cea7ce37bee3ca484425276', 'racoon of ipsec-tools'),
} as const;

/** Key of `vendorIds`. */
export type VendorIdKey = keyof typeof vendorIds;

const vendorIdKeys = Object.keys(vendorIds) as VendorIdKey[];

/** What a received vendor ID is; `extra` is what followed a prefix. `undefined` when it is not in the table. */
export function recogniseVendorId(
  bytes: Uint8Array,
): { readonly key: VendorIdKey; readonly name: string; readonly extra: Uint8Array } | undefined {
  for (const key of vendorIdKeys) {
    const known: VendorId = vendorIds[key];
    const extra = bytes.subarray(known.bytes.length);
    if (known.match === 'exact' && extra.length > 0) continue;
    if (known.bytes.every((byte, index) => byte === bytes[index])) return { key, name: known.name, extra };
  }
  return undefined;
}

/** Windows releases by the version behind `vendorIds.msNt5`. */
export const windowsVersions: Readonly<Record<number, string>> = {
  2: 'Windows 2000',
  3: 'Windows XP',
  4: 'Windows Server 2003',
  5: 'Windows Vista',
  6: 'Windows Server 2008',
  7: 'Windows 7',
  8: 'Windows Server 2008 R2',
  9: 'Windows 8 or later',
};

/** The version in an MS NT5 vendor ID; `undefined` when it is another vendor ID or too short. */
export function windowsVersionOf(bytes: Uint8Array): number | undefined {
  const known = recogniseVendorId(bytes);
  if (known?.key !== 'msNt5' || known.extra.length < 4) return undefined;
  return known.extra.slice(0, 4).reduce((value, byte) => value * 256 + byte, 0);
}
