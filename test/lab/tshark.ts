/** tshark as a judge: it decrypts a capture of ours with the keys we export, and says what it thinks of it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.js';

export interface TsharkPacket {
  readonly frame: number;
  /** Protocols as tshark found them, outside first: `eth ip udp udpencap esp ip tcp`. */
  readonly protocols: readonly string[];
  /** Every field by its tshark name (`isakmp.exchangetype`, `tcp.dstport`), in the order of the packet. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** What tshark complains of: malformed parts, wrong checksums and ICVs; not of what two TCPs do to each other. Empty is good. */
  readonly complaints: readonly string[];
}

/**
 * Every packet of a capture. `keys` is a folder of key tables, as our programs export them: what fits is decrypted.
 * `filter` is a display filter (`esp`, `isakmp`).
 */
export async function decode(file: string, keys?: string, filter = ''): Promise<TsharkPacket[]> {
  const empty = mkdtempSync(join(tmpdir(), 'ipseckit-tshark-'));
  try {
    const json = await run(
      [
        ...['tshark', '-n', '-r', file, '-T', 'json', '--no-duplicate-keys'],
        ...['-o', 'esp.enable_encryption_decode:TRUE', '-o', 'esp.enable_authentication_check:TRUE'],
        ...['-o', 'ip.check_checksum:TRUE'],
        ...(filter === '' ? [] : ['-Y', filter]),
      ],
      // The tables are those of a profile: no key shows in the process list.
      { timeoutSeconds: 120, environment: { WIRESHARK_CONFIG_DIR: keys ?? empty } },
    );
    const packets: unknown = JSON.parse(json);
    if (!Array.isArray(packets)) throw new Error('tshark did not print a list of packets');
    return packets.map(readPacket);
  } finally {
    rmSync(empty, { recursive: true, force: true });
  }
}

function readPacket(packet: unknown): TsharkPacket {
  const fields = new Map<string, string[]>();
  collect(packet, fields);
  const protocols = (fields.get('frame.protocols')?.[0] ?? '')
    .split(':')
    .filter(name => name !== 'ethertype');
  const frame = Number(fields.get('frame.number')?.[0]);
  return { frame, protocols, fields, complaints: complaintsOf(packet, fields) };
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

function complaintsOf(packet: unknown, fields: ReadonlyMap<string, readonly string[]>): string[] {
  const complaints: string[] = [];
  if (fields.has('_ws.malformed')) complaints.push('malformed');
  for (const expert of expertsOf(packet)) {
    // A retransmission or a reset is between the two TCPs: a busy host repeats its FIN, and is told that nobody is there any more.
    if (Object.keys(expert).some(name => /^tcp\.(analysis|connection)\./.test(name))) continue;
    const facts = new Map<string, unknown>(Object.entries(expert));
    // 0x00800000 is PI_ERROR, 0x00600000 PI_WARN; chat and note are no complaints.
    if (Number(facts.get('_ws.expert.severity')) >= 0x00600000)
      complaints.push(String(facts.get('_ws.expert.message')));
  }
  if ((fields.get('esp.icv_bad') ?? []).includes('1')) complaints.push('bad ICV');
  return complaints;
}

/** tshark's expert remarks on a packet, however deep in its tree. */
function* expertsOf(node: unknown): Generator<object> {
  if (typeof node !== 'object' || node === null) return;
  for (const [name, value] of Object.entries(node)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (name === '_ws.expert' && typeof one === 'object' && one !== null) yield one;
      yield* expertsOf(one);
    }
  }
}
