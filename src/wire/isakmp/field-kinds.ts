/** The kinds of fields ISAKMP payloads are made of. */
import { ByteWriter, toHex, WireError, type WireErrorReason } from '../bytes.js';
import { type DataAttribute, printAttributes, readAttributes, writeAttributes } from './attributes.js';
import { type Field, indent, type PrintContext, type Struct } from './fields.js';
import { readGenericHeader, writeGenericHeader } from './generic-header.js';
import { type NumberTable, printNumber } from './numbers.js';

interface NumberOptions {
  /** Names of values, for printing; may depend on the enclosing structure. */
  readonly names?: NumberTable | ((context: PrintContext) => NumberTable);
  /** Why a value cannot be decoded; `undefined` when it can. */
  readonly refuse?: (value: number) => WireErrorReason | undefined;
}

function unsigned(size: 'u8' | 'u16' | 'u32', { names = {}, refuse }: NumberOptions): Field<number> {
  const limit = { u8: 2 ** 8, u16: 2 ** 16, u32: 2 ** 32 }[size];
  return {
    read(reader, label) {
      const { offset } = reader;
      const value = reader[size](label);
      const refusal = refuse?.(value);
      if (refusal !== undefined) throw new WireError(refusal, offset, `${label} is ${value}`);
      return value;
    },
    write(writer, value, label) {
      if (!Number.isInteger(value) || value < 0 || value >= limit)
        throw new RangeError(`${label}: ${value} does not fit its field`);
      writer[size](value);
    },
    print: (value, label, context) => [
      `${label} ${printNumber(typeof names === 'function' ? names(context) : names, value)}`,
    ],
  };
}

/** An unsigned number of 8 bits. */
export const u8 = (options: NumberOptions = {}) => unsigned('u8', options);
/** An unsigned number of 16 bits. */
export const u16 = (options: NumberOptions = {}) => unsigned('u16', options);
/** An unsigned number of 32 bits. */
export const u32 = (options: NumberOptions = {}) => unsigned('u32', options);

/** A property that takes no bytes and always has that value: the discriminant of a union. */
export function constant<T>(value: T): Field<T> & { readonly value: T } {
  return {
    value,
    read: () => value,
    write(_writer, written, label) {
      if (written !== value) throw new RangeError(`${label} is ${written}, not ${value}`);
    },
    print: () => [],
  };
}

/** Bytes that must be zero. */
export function reserved(length: number): Field<undefined> {
  return {
    read(reader, label) {
      const { offset } = reader;
      if (reader.bytes(length, label).some(byte => byte !== 0))
        throw new WireError('bad-value', offset, `${label} is not zero`);
      return undefined;
    },
    write: writer => writer.bytes(new Uint8Array(length)),
    print: () => [],
  };
}

/** Bytes: `fixed` of them, else as many as the `length of` this field says, else all that remain. */
export function bytes(
  limits: { readonly fixed?: number; readonly min?: number; readonly max?: number } = {},
): Field<Uint8Array> {
  const { fixed, min = 0, max = Number.POSITIVE_INFINITY } = limits;
  return {
    read(reader, label, { length = fixed ?? reader.remaining }) {
      const { offset } = reader;
      const value = reader.bytes(length, label);
      if (value.length < min || value.length > max)
        throw new WireError('bad-length', offset, `${label} has ${value.length} bytes`);
      return value;
    },
    write(writer, value, label) {
      if (fixed !== undefined && value.length !== fixed)
        throw new RangeError(`${label}: ${value.length} bytes, not ${fixed}`);
      writer.bytes(value);
    },
    print: (value, label) => (value.length === 0 ? [] : [`${label} ${toHex(value)}`]),
    measure: value => ({ length: value.length }),
  };
}

/** A list of byte strings of one length, as long and as many as the fields before it say. */
export function byteStrings(limits: {
  readonly maxLength: number;
  readonly maxCount: number;
}): Field<readonly Uint8Array[]> {
  return {
    read(reader, label, { length = 0, count = 0 }) {
      if (length < 1 || length > limits.maxLength)
        reader.fail('bad-length', `${label}: ${length} bytes each`);
      if (count < 1) reader.fail('bad-length', `${label}: none`);
      if (count > limits.maxCount) reader.fail('too-many', `${label}: ${count}`);
      if (reader.remaining !== length * count)
        reader.fail(
          'bad-length',
          `${label}: ${count} of ${length} bytes announced, ${reader.remaining} bytes left`,
        );
      return Array.from({ length: count }, () => reader.bytes(length, label));
    },
    write(writer, value, label) {
      if (value.length === 0 || value.some(item => item.length !== value[0]?.length))
        throw new RangeError(`${label}: need at least one, all of one length`);
      for (const item of value) writer.bytes(item);
    },
    print: (value, label) => value.map(item => `${label} ${toHex(item)}`),
    measure: value => ({ count: value.length, length: value[0]?.length ?? 0 }),
  };
}

/** Substructures of payload type `type`, each behind a generic header, linked by their "next payload" bytes. */
export function chain<T>(type: number, element: Struct<T>, max: number): Field<readonly T[]> {
  return {
    read(reader, label, { count }) {
      const { offset } = reader;
      const elements: T[] = [];
      for (let next = type; next !== 0; ) {
        if (next !== type) reader.fail('bad-order', `${label}: payload type ${next} among them`);
        if (elements.length === max) reader.fail('too-many', `${label}: more than ${max}`);
        const header = readGenericHeader(reader, element.name);
        elements.push(element.read(header.body));
        next = header.next;
      }
      if (count !== undefined && count !== elements.length)
        throw new WireError('bad-length', offset, `${label}: ${count} announced, ${elements.length} found`);
      return elements;
    },
    write(writer, value, label) {
      if (value.length === 0) throw new RangeError(`${label}: need at least one`);
      for (const [index, item] of value.entries()) {
        const body = new ByteWriter();
        element.write(body, item);
        writeGenericHeader(writer, index + 1 < value.length ? type : 0, body.finish());
      }
    },
    print: (value, _label, context) =>
      value.flatMap(item => [element.name, ...indent(element.print(item, context))]),
    measure: value => ({ count: value.length }),
  };
}

/** Data attributes to the end; named as the protocol of the enclosing proposal says. */
export function attributes(): Field<readonly DataAttribute[]> {
  return {
    read: reader => readAttributes(reader),
    write: (writer, value) => writeAttributes(writer, value),
    print: (value, _label, context) => printAttributes(value, context.protocol),
  };
}
