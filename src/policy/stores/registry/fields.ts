/**
 * Fields of the little-endian `ipsecData` blobs. A layout is declared once with `struct` and `list`; reading, writing
 * and the names and offsets in errors all come from that declaration (`policy-store.md`, MS-GPIPSEC 2.2.1).
 */
import { type ByteReader, ByteWriter } from '../../../wire/bytes.js';
import { addressBytes, addressFromBytes, type IpAddress } from '../../../wire/ip/address.js';
import { parseGuid } from '../../guid.js';
import type { Guid } from '../../model.js';

/** Reads and writes one field. `read` throws `WireError` naming `what`, at the offset in the whole blob. */
export interface Field<T> {
  /** The fewest bytes it takes: what a count can be checked against before anything is read. */
  readonly minimumBytes: number;
  read(reader: ByteReader, what: string): T;
  write(writer: ByteWriter, value: T): void;
}

export const u8: Field<number> = {
  minimumBytes: 1,
  read: (reader, what) => reader.u8(what),
  write: (writer, value) => writer.u8(value),
};

export const u16: Field<number> = littleEndian(2);
export const u32: Field<number> = littleEndian(4);

/** A 32-bit flag: zero is off, anything else is on. */
export const flag32: Field<boolean> = {
  minimumBytes: 4,
  read: (reader, what) => u32.read(reader, what) !== 0,
  write: (writer, value) => u32.write(writer, value ? 1 : 0),
};

/** Bytes without a meaning: any are read, for real data has garbage there; zeros are written. */
export function reserved(length: number): Field<undefined> {
  return {
    minimumBytes: length,
    read: (reader, what) => {
      reader.bytes(length, what);
      return undefined;
    },
    write: writer => writer.bytes(new Uint8Array(length)),
  };
}

/** Exactly so many bytes. */
export function bytes(length: number): Field<Uint8Array> {
  return {
    minimumBytes: length,
    read: (reader, what) => reader.bytes(length, what),
    write: (writer, value) => writer.bytes(value),
  };
}

/** 4 bytes in network order. */
export const ipv4: Field<IpAddress> = {
  minimumBytes: 4,
  read: (reader, what) => addressFromBytes(reader.bytes(4, what)),
  write: (writer, value) => writer.bytes(addressBytes(value)),
};

/** 16 bytes in network order. */
export const ipv6: Field<IpAddress> = {
  minimumBytes: 16,
  read: (reader, what) => addressFromBytes(reader.bytes(16, what)),
  write: (writer, value) => writer.bytes(addressBytes(value)),
};

/** 16 bytes, the first three parts little-endian. */
export const guid: Field<Guid> = {
  minimumBytes: 16,
  read: (reader, what) => guidFromStored(reader.bytes(16, what)),
  write: (writer, value) => writer.bytes(storedGuid(value)),
};

/** UTF-16LE behind a count of its bytes, which includes the closing NUL. `Length` is 0 or 2 for empty text. */
export const text: Field<string> = {
  minimumBytes: 4,
  read: (reader, what) => {
    const length = u32.read(reader, `${what}, its length`);
    if (length % 2 !== 0) reader.fail('bad-length', `${what}: ${length} bytes are no UTF-16 text`);
    const value = Buffer.from(reader.bytes(length, what)).toString('utf16le');
    return value.endsWith('\0') ? value.slice(0, -1) : value;
  },
  write: (writer, value) => {
    const encoded = Buffer.from(`${value}\0`, 'utf16le');
    u32.write(writer, encoded.length);
    writer.bytes(encoded);
  },
};

/** Items behind a 32-bit count. */
export function list<T>(item: Field<T>): Field<readonly T[]> {
  return {
    minimumBytes: 4,
    read: (reader, what) => {
      const count = u32.read(reader, `${what}, their number`);
      if (count * item.minimumBytes > reader.remaining)
        reader.fail(
          'too-many',
          `${what}: ${count} take at least ${count * item.minimumBytes} bytes, ${reader.remaining} are left`,
        );
      return Array.from({ length: count }, (_, i) => item.read(reader, `${what} ${i + 1}`));
    },
    write: (writer, values) => {
      u32.write(writer, values.length);
      for (const value of values) item.write(writer, value);
    },
  };
}

type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a layout reads as: its fields without the reserved ones. */
export type Values<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Field<undefined> ? never : K]: F[K] extends Field<infer T>
    ? T
    : never;
};

/** Fields one behind the other, in the order they are declared. */
export function struct<F extends Fields>(fields: F): Field<Values<F>> {
  const entries = Object.entries(fields).map(([name, field]) => ({ name, field, words: words(name) }));
  return {
    minimumBytes: entries.reduce((sum, { field }) => sum + field.minimumBytes, 0),
    read: (reader, what) => {
      const values = entries.map(each => [each.name, each.field.read(reader, `${what}, ${each.words}`)]);
      // Each value came from the field that `Values` takes its type from.
      return Object.fromEntries(values.filter(([, value]) => value !== undefined)) as Values<F>;
    },
    write: (writer, value) => {
      const values = new Map<string, unknown>(Object.entries(value));
      for (const { name, field } of entries) field.write(writer, values.get(name));
    },
  };
}

/** The bytes of one field on its own. */
export function encodeField<T>(field: Field<T>, value: T): Uint8Array {
  const writer = new ByteWriter();
  field.write(writer, value);
  return writer.finish();
}

/** A GUID as its 16 stored bytes. */
export function storedGuid(value: Guid): Uint8Array {
  return swapGuid(Buffer.from(value.replace(/[{}-]/g, ''), 'hex'));
}

function guidFromStored(stored: Uint8Array): Guid {
  const hex = Buffer.from(swapGuid(stored)).toString('hex');
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)];
  const value = parseGuid(parts.join('-'));
  if (value === undefined) throw new RangeError('sixteen bytes are always a GUID');
  return value;
}

function swapGuid(from: Uint8Array): Uint8Array {
  return Uint8Array.from([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15], i => from[i] ?? 0);
}

function littleEndian(size: 2 | 4): Field<number> {
  return {
    minimumBytes: size,
    read: (reader, what) => reader.bytes(size, what).reduceRight((value, byte) => value * 256 + byte, 0),
    write: (writer, value) => writer.bytes(Uint8Array.from({ length: size }, (_, i) => value / 256 ** i)),
  };
}

/** `pollingSeconds` as `polling seconds`. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`);
}
