/**
 * Captures of packets: the classic pcap format in all its byte orders and time units, and pcapng (`pcapng/`), through
 * one reader. Whatever is wrong with a file is a `WireError` with the offset.
 */
import { WireError } from './bytes.js';
import { type CapturedPacket, packetAt } from './captured-packet.js';
import { isPcapng, readPcapng } from './pcapng/reader.js';

/** Magic numbers, and the nanoseconds that the fraction of a second counts in. */
const pcapMagics: ReadonlyMap<number, bigint> = new Map([
  [0xa1b2_c3d4, 1_000n],
  [0xa1b2_3c4d, 1n],
]);
const pcapHeaderBytes = 24;
const recordHeaderBytes = 16;

/**
 * Reads the packets of a capture, one after another. Throws `WireError`, also in the middle: the packets before it have
 * been given out then.
 */
export function* readCapture(file: Uint8Array): Generator<CapturedPacket> {
  if (file.length < 4) throw new WireError('truncated', file.length, 'capture file');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (isPcapng(view)) return yield* readPcapng(file, view);
  for (const littleEndian of [true, false]) {
    const unitNs = pcapMagics.get(view.getUint32(0, littleEndian));
    if (unitNs !== undefined) return yield* readRecords(file, view, littleEndian, unitNs);
  }
  throw new WireError('bad-value', 0, 'neither a pcap nor a pcapng file');
}

function* readRecords(
  file: Uint8Array,
  view: DataView,
  littleEndian: boolean,
  unitNs: bigint,
): Generator<CapturedPacket> {
  if (file.length < pcapHeaderBytes) throw new WireError('truncated', file.length, 'pcap file header');
  // The upper bits hold the length of a frame check sequence.
  const linkType = view.getUint32(20, littleEndian) & 0x0fff_ffff;
  for (let offset = pcapHeaderBytes; offset < file.length; ) {
    if (offset + recordHeaderBytes > file.length)
      throw new WireError('truncated', offset, 'pcap packet header');
    const field = (index: number) => view.getUint32(offset + 4 * index, littleEndian);
    const [seconds, fraction, capturedBytes, wireBytes] = [field(0), field(1), field(2), field(3)];
    const timestampNs = BigInt(seconds) * 1_000_000_000n + BigInt(fraction) * unitNs;
    const start = offset + recordHeaderBytes;
    yield packetAt(file, {
      linkType,
      start,
      capturedBytes,
      wireBytes,
      offset,
      end: file.length,
      timestampNs,
    });
    offset = start + capturedBytes;
  }
}
