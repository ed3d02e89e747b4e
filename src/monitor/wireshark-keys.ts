import { type EncryptionId, type HashId, hash as hashRow } from '../crypto/algorithms.js';
import type { SaHalf, SaPair } from '../driver/api.js';
import type { ExportedKeys } from '../ike/api.js';
import { toHex } from '../wire/bytes.js';
import { addressFamily, type IpAddress } from '../wire/ip/address.js';

/** The two tables of a Wireshark profile that decrypt IKEv1 and ESP, by file name. */
export const keyTables = ['ikev1_decryption_table', 'esp_sa'] as const;
export type KeyTable = (typeof keyTables)[number];

const wiresharkCiphers: Readonly<Record<EncryptionId, string>> = {
  des: 'DES-CBC [RFC2405]',
  '3des': 'TripleDES-CBC [RFC2451]',
  aes128: 'AES-CBC [RFC3602]',
  aes192: 'AES-CBC [RFC3602]',
  aes256: 'AES-CBC [RFC3602]',
  aes128gcm: 'AES-GCM with 16 octet ICV [RFC4106]',
  aes192gcm: 'AES-GCM with 16 octet ICV [RFC4106]',
  aes256gcm: 'AES-GCM with 16 octet ICV [RFC4106]',
  null: 'NULL',
};

const wiresharkHashes: Readonly<Record<HashId, string>> = {
  md5: 'HMAC-MD5-96 [RFC2403]',
  sha1: 'HMAC-SHA-1-96 [RFC2404]',
  sha256: 'HMAC-SHA-256-128 [RFC4868]',
  sha384: 'HMAC-SHA-384-192 [RFC4868]',
  sha512: 'HMAC-SHA-512-256 [RFC4868]',
};

/** Lines for the key tables, ready to append. AH needs no keys to be read, so it has none. */
export function wiresharkLines(
  keys: ExportedKeys,
): readonly { readonly table: KeyTable; readonly line: string }[] {
  if (keys.kind === 'ike')
    return [
      {
        table: 'ikev1_decryption_table',
        line: `${toHex(keys.initiatorCookie)},${toHex(keys.encryptionKey)}`,
      },
    ];
  const { pair } = keys;
  return [
    ...pair.outbound.map(half => espLine(half, pair.local, pair.peer, pair)),
    ...pair.inbound.map(half => espLine(half, pair.peer, pair.local, pair)),
  ].flatMap(line => (line === undefined ? [] : ([{ table: 'esp_sa', line }] as const)));
}

function espLine(
  half: SaHalf,
  source: IpAddress,
  destination: IpAddress,
  { extendedSequence = false }: SaPair,
): string | undefined {
  if (half.protocol !== 'esp' || half.encryption === undefined) return undefined;
  const [integrity, integrityKey] = integrityOf(half, extendedSequence);
  const fields = [
    addressFamily(source) === 4 ? 'IPv4' : 'IPv6',
    source,
    destination,
    `0x${half.spi.toString(16).padStart(8, '0')}`,
    wiresharkCiphers[half.encryption],
    hexField(half.encryptionKey),
    integrity,
    hexField(integrityKey),
  ];
  return fields.map(field => `"${field}"`).join(',');
}

/** What the ICV is called, and the key to check it with. */
function integrityOf(
  { hash, integrityKey, icvBytes }: SaHalf,
  extendedSequence: boolean,
): [name: string, key: Uint8Array] {
  // A combined-mode cipher's name says that it brings its ICV.
  if (hash === undefined) return ['NULL', integrityKey];
  if (!extendedSequence) return [wiresharkHashes[hash], integrityKey];
  // The table has no place for the bits that are not sent: every ICV would look wrong.
  const bits = (icvBytes ?? hashRow(hash).icvBytes) * 8;
  return [`ANY ${bits} bit authentication [no checking]`, new Uint8Array(0)];
}

function hexField(key: Uint8Array): string {
  return key.length === 0 ? '' : `0x${toHex(key)}`;
}
