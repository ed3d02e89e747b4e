import { ByteReader, ByteWriter, toHex, WireError } from '../bytes.js';
import { attributeNames, nameOf, printNumber } from './numbers.js';

/**
 * A data attribute (RFC 2408 3.3). The form is kept, so that what was decoded encodes to the same bytes:
 * `tv` has a 16-bit value in place of the length, `tlv` any number of bytes. Senders choose freely between them;
 * compare with `attributeNumber`.
 */
export type DataAttribute =
  | { readonly form: 'tv'; readonly type: number; readonly value: number }
  | { readonly form: 'tlv'; readonly type: number; readonly bytes: Uint8Array };

/** An attribute in the short form; `value` has 16 bits. */
export function tv(type: number, value: number): DataAttribute {
  return { form: 'tv', type, value };
}

/** An attribute in the long form, of given bytes. */
export function tlv(type: number, bytes: Uint8Array): DataAttribute {
  return { form: 'tlv', type, bytes };
}

/** A number of 32 bits in the long form: how Windows writes every life duration. Throws `RangeError`. */
export function tlvNumber(type: number, value: number): DataAttribute {
  if (value >= 2 ** 32) throw new RangeError(`attribute ${type}: ${value} does not fit 32 bits`);
  return tlv(type, new ByteWriter().u32(value).finish());
}

/** A number in the short form if it fits 16 bits, else in the long form of 4 bytes: how strongSwan writes. */
export function shortestNumber(type: number, value: number): DataAttribute {
  return value <= 0xffff ? tv(type, value) : tlvNumber(type, value);
}

/**
 * The number an attribute holds, whatever its form. Values beyond 2^53 - 1 read as that maximum;
 * an empty long form is `undefined`.
 */
export function attributeNumber(attribute: DataAttribute): number | undefined {
  if (attribute.form === 'tv') return attribute.value;
  if (attribute.bytes.length === 0) return undefined;
  let value = 0;
  for (const byte of attribute.bytes) {
    value = value * 256 + byte;
    if (value > Number.MAX_SAFE_INTEGER) return Number.MAX_SAFE_INTEGER;
  }
  return value;
}

const shortFormBit = 0x8000;

/**
 * Reads attributes to the end of `reader`. With `aligned`, up to 3 zeros may follow the last one. Throws `WireError`.
 */
export function readAttributes(
  reader: ByteReader,
  { aligned = false }: { readonly aligned?: boolean } = {},
): DataAttribute[] {
  const attributes: DataAttribute[] = [];
  while (reader.remaining > 0) {
    if (aligned && reader.remaining < 4) {
      skipZeros(reader);
      break;
    }
    const word = reader.u16('attribute type');
    const type = word & ~shortFormBit;
    if (word & shortFormBit) attributes.push(tv(type, reader.u16('attribute value')));
    else attributes.push(tlv(type, reader.bytes(reader.u16('attribute length'), 'attribute value')));
  }
  return attributes;
}

function skipZeros(reader: ByteReader): void {
  const { offset } = reader;
  if (reader.rest().some(byte => byte !== 0)) throw new WireError('truncated', offset, 'attribute');
}

/** Writes attributes, each in its own form. Throws `RangeError` on a number that does not fit its field. */
export function writeAttributes(writer: ByteWriter, attributes: readonly DataAttribute[]): void {
  for (const attribute of attributes) {
    const number = attribute.form === 'tv' ? attribute.value : attribute.bytes.length;
    if (attribute.type < 0 || attribute.type >= shortFormBit || number < 0 || number > 0xffff)
      throw new RangeError(`attribute ${attribute.type}: ${number} does not fit its field`);
    if (attribute.form === 'tv') writer.u16(attribute.type | shortFormBit).u16(attribute.value);
    else writer.u16(attribute.type).u16(attribute.bytes.length).bytes(attribute.bytes);
  }
}

/** Attributes alone, as in the data of a RESPONDER-LIFETIME notification. */
export function encodeAttributes(attributes: readonly DataAttribute[]): Uint8Array {
  const writer = new ByteWriter();
  writeAttributes(writer, attributes);
  return writer.finish();
}

/** The inverse of `encodeAttributes`. Throws `WireError`. */
export function decodeAttributes(bytes: Uint8Array): DataAttribute[] {
  return readAttributes(new ByteReader(bytes));
}

/**
 * One line an attribute: `encryption 3DES (5)`, `life duration 28800`. `protocol` of the proposal says what the
 * numbers mean; without it they stay numbers.
 */
export function printAttributes(
  attributes: readonly DataAttribute[],
  protocol: number | undefined,
): string[] {
  const names = attributeNames(protocol);
  return attributes.map(attribute => {
    const type = nameOf(names.types, attribute.type);
    if (attribute.form === 'tlv' && attribute.bytes.length > 6) return `${type} ${toHex(attribute.bytes)}`;
    const value = attributeNumber(attribute);
    const printed = value === undefined ? '(empty)' : printNumber(names.values[attribute.type] ?? {}, value);
    return attribute.form === 'tlv'
      ? `${type} ${printed}, ${attribute.bytes.length} bytes`
      : `${type} ${printed}`;
  });
}
