/** Writes captures, for tests of reading them. */

export interface CaptureOptions {
  readonly bigEndian?: boolean;
  readonly nanoseconds?: boolean;
  /** Packets are cut to so many bytes. */
  readonly snapBytes?: number;
  /** pcapng: without time and interface. */
  readonly simple?: boolean;
  /** pcapng: blocks that readers leave out. */
  readonly strangeBlocks?: boolean;
}

class Numbers {
  readonly #littleEndian: boolean;

  constructor({ bigEndian = false }: CaptureOptions) {
    this.#littleEndian = !bigEndian;
  }

  u16(...values: readonly number[]): Uint8Array {
    const view = new DataView(new ArrayBuffer(values.length * 2));
    for (const [i, value] of values.entries()) view.setUint16(i * 2, value, this.#littleEndian);
    return new Uint8Array(view.buffer);
  }

  u32(...values: readonly number[]): Uint8Array {
    const view = new DataView(new ArrayBuffer(values.length * 4));
    for (const [i, value] of values.entries()) view.setUint32(i * 4, value, this.#littleEndian);
    return new Uint8Array(view.buffer);
  }
}

const joined = (parts: readonly Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));

/** A classic pcap file. */
export function pcapFile(
  packets: readonly Uint8Array[],
  linkType: number,
  options: CaptureOptions = {},
): Uint8Array {
  const numbers = new Numbers(options);
  const magic = options.nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4;
  const snap = options.snapBytes ?? 65_535;
  return joined([
    numbers.u32(magic),
    numbers.u16(2, 4),
    numbers.u32(0, 0, snap, linkType),
    ...packets.flatMap(packet => {
      const captured = packet.subarray(0, snap);
      return [numbers.u32(1, 2, captured.length, packet.length), captured];
    }),
  ]);
}

/** A pcapng file with one section and one interface. */
export function pcapngFile(
  packets: readonly Uint8Array[],
  linkType: number,
  options: CaptureOptions = {},
): Uint8Array {
  const numbers = new Numbers(options);
  const snap = options.snapBytes ?? 0;
  const block = (type: number, ...parts: readonly Uint8Array[]) => {
    const body = joined(parts);
    const padding = new Uint8Array((4 - (body.length % 4)) % 4);
    const length = numbers.u32(12 + body.length + padding.length);
    return joined([numbers.u32(type), length, body, padding, length]);
  };
  return joined([
    block(0x0a0d0d0a, numbers.u32(0x1a2b3c4d), numbers.u16(1, 0), numbers.u32(0xffff_ffff, 0xffff_ffff)),
    block(1, numbers.u16(linkType, 0), numbers.u32(snap)),
    ...(options.strangeBlocks ? [block(5, numbers.u32(0, 0, 0)), block(0x0bad, numbers.u32(7))] : []),
    ...packets.map(packet => {
      const captured = packet.subarray(0, snap === 0 ? packet.length : snap);
      return options.simple
        ? block(3, numbers.u32(packet.length), captured)
        : block(6, numbers.u32(0, 1, 2, captured.length, packet.length), captured);
    }),
  ]);
}
