/** tshark as a judge: it decrypts a capture of ours with the keys we export, and says what it thinks of it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EncryptionId, HashId } from '../../src/crypto/algorithms.js';
import type { SaHalf } from '../../src/driver/api.js';
import type { ExportedKeys } from '../../src/ike/api.js';
import { run } from './command.js';

/** Key of one IKE SA. */
export interface TsharkIkeKey {
  readonly initiatorCookie: Uint8Array;
  readonly encryptionKey: Uint8Array;
}

/** One ESP SA, in the direction of its packets. */
export interface TsharkEspKey {
  readonly source: string;
  readonly destination: string;
  readonly spi: number;
  readonly encryption: EncryptionId;
  /** Cipher key followed by the salt. */
  readonly encryptionKey: Uint8Array;
  readonly hash?: HashId;
  readonly integrityKey?: Uint8Array;
}

export interface TsharkKeys {
  readonly ike: readonly TsharkIkeKey[];
  readonly esp: readonly TsharkEspKey[];
}

export interface TsharkPacket {
  readonly frame: number;
  /** Protocols as tshark found them, outside first: `eth ip udp udpencap esp ip tcp`. */
  readonly protocols: readonly string[];
  /** Every field by its tshark name (`isakmp.exchangetype`, `tcp.dstport`), in the order of the packet. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** What tshark complains of: malformed parts, wrong checksums and ICVs. Empty is good. */
  readonly complaints: readonly string[];
}

const encryptionNames: Record<EncryptionId, string> = {
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

const hashNames: Record<HashId, string> = {
  md5: 'HMAC-MD5-96 [RFC2403]',
  sha1: 'HMAC-SHA-1-96 [RFC2404]',
  sha256: 'HMAC-SHA-256-128 [RFC4868]',
  sha384: 'HMAC-SHA-384-192 [RFC4868]',
  sha512: 'HMAC-SHA-512-256 [RFC4868]',
};

/** The keys our engine exports, as tshark wants them. */
export function tsharkKeys(exported: readonly ExportedKeys[]): TsharkKeys {
  const ike: TsharkIkeKey[] = [];
  const esp: TsharkEspKey[] = [];
  for (const keys of exported) {
    if (keys.kind === 'ike') {
      ike.push(keys);
      continue;
    }
    const { local, peer } = keys.pair;
    esp.push(...keys.pair.inbound.flatMap(half => espKey(half, peer, local)));
    esp.push(...keys.pair.outbound.flatMap(half => espKey(half, local, peer)));
  }
  return { ike, esp };
}

function espKey(half: SaHalf, source: string, destination: string): TsharkEspKey[] {
  if (half.protocol !== 'esp' || half.encryption === undefined) return [];
  const { spi, encryption, encryptionKey, integrityKey, hash } = half;
  return [
    {
      source,
      destination,
      spi,
      encryption,
      encryptionKey,
      ...(hash === undefined ? {} : { hash, integrityKey }),
    },
  ];
}

/** Every packet of a capture, decrypted where the keys fit. `filter` is a display filter (`esp`, `isakmp`). */
export async function decode(
  file: string,
  keys: TsharkKeys = { ike: [], esp: [] },
  filter = '',
): Promise<TsharkPacket[]> {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-tshark-'));
  try {
    // In files, so that no key shows in the process list.
    writeFileSync(join(folder, 'ikev1_decryption_table'), table(keys.ike.map(ikeRow)), { mode: 0o600 });
    writeFileSync(join(folder, 'esp_sa'), table(keys.esp.map(espRow)), { mode: 0o600 });
    const json = await run(
      [
        ...['tshark', '-n', '-r', file, '-T', 'json', '--no-duplicate-keys'],
        ...['-o', 'esp.enable_encryption_decode:TRUE', '-o', 'esp.enable_authentication_check:TRUE'],
        ...['-o', 'ip.check_checksum:TRUE'],
        ...(filter === '' ? [] : ['-Y', filter]),
      ],
      { timeoutSeconds: 120, environment: { WIRESHARK_CONFIG_DIR: folder } },
    );
    const packets: unknown = JSON.parse(json);
    if (!Array.isArray(packets)) throw new Error('tshark did not print a list of packets');
    return packets.map(readPacket);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const table = (rows: readonly (readonly string[])[]): string =>
  rows.map(row => `${row.join(',')}\n`).join('');
const quoted = (text: string): string => `"${text}"`;

function ikeRow(key: TsharkIkeKey): string[] {
  return [hex(key.initiatorCookie), hex(key.encryptionKey)];
}

function espRow(key: TsharkEspKey): string[] {
  return [
    key.source.includes(':') ? 'IPv6' : 'IPv4',
    key.source,
    key.destination,
    `0x${key.spi.toString(16).padStart(8, '0')}`,
    encryptionNames[key.encryption],
    key.encryptionKey.length === 0 ? '' : `0x${hex(key.encryptionKey)}`,
    key.hash === undefined ? 'NULL' : hashNames[key.hash],
    key.integrityKey === undefined ? '' : `0x${hex(key.integrityKey)}`,
  ].map(quoted);
}

function readPacket(packet: unknown): TsharkPacket {
  const fields = new Map<string, string[]>();
  collect(packet, fields);
  const protocols = (fields.get('frame.protocols')?.[0] ?? '')
    .split(':')
    .filter(name => name !== 'ethertype');
  const frame = Number(fields.get('frame.number')?.[0]);
  return { frame, protocols, fields, complaints: complaintsOf(fields) };
}

/** Flattens tshark's tree: leaves under their own names, however deep. */
function collect(node: unknown, fields: Map<string, string[]>): void {
  if (typeof node !== 'object' || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (typeof one === 'string') {
        const values = fields.get(name);
        if (values === undefined) fields.set(name, [one]);
        else values.push(one);
      } else {
        if (name === '_ws.malformed' && !fields.has(name)) fields.set(name, ['']);
        collect(one, fields);
      }
    }
  }
}

function complaintsOf(fields: ReadonlyMap<string, readonly string[]>): string[] {
  const complaints: string[] = [];
  if (fields.has('_ws.malformed')) complaints.push('malformed');
  const severities = fields.get('_ws.expert.severity') ?? [];
  const messages = fields.get('_ws.expert.message') ?? [];
  severities.forEach((severity, index) => {
    // 0x00800000 is PI_ERROR, 0x00600000 PI_WARN; chat and note are no complaints.
    if (Number(severity) >= 0x00600000) complaints.push(messages[index] ?? 'expert warning');
  });
  if ((fields.get('esp.icv_bad') ?? []).includes('1')) complaints.push('bad ICV');
  return complaints;
}
