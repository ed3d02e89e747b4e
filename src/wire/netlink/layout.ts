/**
 * C structures as declarations: fields in order, each at the offset its alignment gives it, as the compiler of a 64-bit
 * kernel lays them out. Numbers are in the host's byte order unless a field says it is in network order.
 */
import { WireError } from '../bytes.js';

/** How a value lies in memory. */
export interface Layout<T> {
  readonly bytes: number;
  readonly alignment: number;
  read(view: DataView, at: number, littleEndian: boolean): T;
  write(view: DataView, at: number, littleEndian: boolean, value: T): void;
}

/** Whether this host is little-endian. */
export const hostIsLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export const u8: Layout<number> = {
  bytes: 1,
  alignment: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, _, value) => view.setUint8(at, value),
};

export const u16: Layout<number> = {
  bytes: 2,
  alignment: 2,
  read: (view, at, little) => view.getUint16(at, little),
  write: (view, at, little, value) => view.setUint16(at, value, little),
};

export const u32: Layout<number> = {
  bytes: 4,
  alignment: 4,
  read: (view, at, little) => view.getUint32(at, little),
  write: (view, at, little, value) => view.setUint32(at, value, little),
};

export const i32: Layout<number> = {
  bytes: 4,
  alignment: 4,
  read: (view, at, little) => view.getInt32(at, little),
  write: (view, at, little, value) => view.setInt32(at, value, little),
};

/** Network order. */
export const be16: Layout<number> = {
  ...u16,
  read: (view, at) => view.getUint16(at),
  write: (view, at, _, value) => view.setUint16(at, value),
};

/** Network order. */
export const be32: Layout<number> = {
  ...u32,
  read: (view, at) => view.getUint32(at),
  write: (view, at, _, value) => view.setUint32(at, value),
};

const allOnes = 2n ** 64n - 1n;

/** A count; all ones, the kernel's "no limit", is `Infinity`. Past 2^53 the last digits are lost. */
export const u64: Layout<number> = {
  bytes: 8,
  alignment: 8,
  read: (view, at, little) => {
    const value = view.getBigUint64(at, little);
    return value === allOnes ? Number.POSITIVE_INFINITY : Number(value);
  },
  write: (view, at, little, value) =>
    view.setBigUint64(at, value === Number.POSITIVE_INFINITY ? allOnes : BigInt(value), little),
};

/** Bytes as they are; shorter values are filled up with zeros. */
export function raw(bytes: number, alignment = 1): Layout<Uint8Array> {
  return {
    bytes,
    alignment,
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, bytes).slice(),
    write: (view, at, _, value) => {
      const target = new Uint8Array(view.buffer, view.byteOffset + at, bytes);
      target.fill(0);
      target.set(value.subarray(0, bytes));
    },
  };
}

/** A structure of fields in order. */
export function struct<F extends { readonly [name: string]: unknown }>(
  fields: {
    readonly [K in keyof F]: Layout<F[K]>;
  },
): Layout<{ readonly [K in keyof F]: F[K] }> {
  let end = 0;
  let alignment = 1;
  const places: { readonly name: keyof F; readonly at: number }[] = [];
  for (const name in fields) {
    const field = fields[name];
    const at = alignTo(end, field.alignment);
    places.push({ name, at });
    end = at + field.bytes;
    alignment = Math.max(alignment, field.alignment);
  }
  return {
    bytes: alignTo(end, alignment),
    alignment,
    read: (view, base, little) => {
      const value: Partial<F> = {};
      for (const { name, at } of places) value[name] = fields[name].read(view, base + at, little);
      return value as F;
    },
    write: (view, base, little, value) => {
      for (const { name, at } of places) fields[name].write(view, base + at, little, value[name]);
    },
  };
}

/** The next multiple of `alignment`. */
export function alignTo(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The bytes of one value. */
export function encodeLayout<T>(layout: Layout<T>, value: T, littleEndian: boolean): Uint8Array {
  const bytes = new Uint8Array(layout.bytes);
  layout.write(new DataView(bytes.buffer), 0, littleEndian, value);
  return bytes;
}

/** Reads the value at the start of `bytes`. Throws `WireError` when they are too few. */
export function decodeLayout<T>(
  layout: Layout<T>,
  bytes: Uint8Array,
  littleEndian: boolean,
  what: string,
): T {
  if (bytes.length < layout.bytes)
    throw new WireError('truncated', 0, `${what}: needs ${layout.bytes} bytes, has ${bytes.length}`);
  return layout.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, littleEndian);
}

/** The value that a layout describes. */
export type StructOf<L> = L extends Layout<infer T> ? T : never;
