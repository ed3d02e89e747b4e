/**
 * DER (ITU-T X.690) as certificates use it: definite lengths, one-byte tags. Values are views on the buffer read, so
 * that what was signed can be checked byte for byte.
 */
import { ByteReader, WireError } from '../bytes.js';

/** Identifier octets by the names of the standard. */
export const derTags = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  'BIT STRING': 0x03,
  'OCTET STRING': 0x04,
  NULL: 0x05,
  OID: 0x06,
  UTF8String: 0x0c,
  NumericString: 0x12,
  PrintableString: 0x13,
  TeletexString: 0x14,
  IA5String: 0x16,
  UTCTime: 0x17,
  GeneralizedTime: 0x18,
  VisibleString: 0x1a,
  UniversalString: 0x1c,
  BMPString: 0x1e,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** `[n]`, constructed. */
export function contextTag(n: number): number {
  return 0xa0 | n;
}

/** `[n]` of a primitive type, tagged implicitly. */
export function primitiveContextTag(n: number): number {
  return 0x80 | n;
}

export interface DerValue {
  /** The identifier octet. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** The whole value, identifier and length included. */
  readonly bytes: Uint8Array;
  /** Offset of the content in the outermost buffer. */
  readonly contentOffset: number;
}

/** Reads the values in a buffer, or inside a constructed value, one after the other. Every method throws `WireError`. */
export class DerReader {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #reader: ByteReader;

  constructor(bytes: Uint8Array, baseOffset = 0) {
    this.#bytes = bytes;
    this.#base = baseOffset;
    this.#reader = new ByteReader(bytes, baseOffset);
  }

  /** A reader of what is inside a value. */
  static inside(value: DerValue): DerReader {
    return new DerReader(value.content, value.contentOffset);
  }

  get done(): boolean {
    return this.#reader.remaining === 0;
  }

  /** The next value; with `tag`, it must be of that type. */
  next(what: string, tag?: number): DerValue {
    const reader = this.#reader;
    const { offset } = reader;
    const found = reader.u8(what);
    if ((found & 0x1f) === 0x1f)
      throw new WireError('unsupported', offset, `${what}: a tag of several bytes`);
    if (tag !== undefined && found !== tag)
      throw new WireError('bad-value', offset, `${what}: type ${hex(found)} where ${hex(tag)} belongs`);
    const length = readLength(reader, what);
    const contentOffset = reader.offset;
    const content = reader.bytes(length, what);
    const bytes = this.#bytes.subarray(offset - this.#base, reader.offset - this.#base);
    return { tag: found, content, bytes, contentOffset };
  }

  /** The next value if it is of this type. */
  optional(what: string, tag: number): DerValue | undefined {
    if (this.done) return undefined;
    const next = this.#bytes[this.#reader.offset - this.#base];
    return next === tag ? this.next(what, tag) : undefined;
  }

  /** A reader of the inside of the next value, which is of this type. */
  enter(what: string, tag: number = derTags.SEQUENCE): DerReader {
    return DerReader.inside(this.next(what, tag));
  }

  /** All values that are left, at most `limit`. */
  all(what: string, limit: number): DerValue[] {
    const values: DerValue[] = [];
    while (!this.done) {
      if (values.length === limit) this.#reader.fail('too-many', `${what}: more than ${limit}`);
      values.push(this.next(what));
    }
    return values;
  }

  /** Throws unless everything has been read. */
  end(what: string): void {
    if (!this.done) this.#reader.fail('trailing-bytes', what);
  }
}

/** The one value that fills `bytes`. Throws `WireError`. */
export function parseDer(bytes: Uint8Array, what: string, tag?: number): DerValue {
  const reader = new DerReader(bytes);
  const value = reader.next(what, tag);
  reader.end(what);
  return value;
}

function readLength(reader: ByteReader, what: string): number {
  const first = reader.u8(`${what}: length`);
  if (first < 0x80) return first;
  const octets = first & 0x7f;
  if (octets === 0 || octets > 4) reader.fail('unsupported', `${what}: length of ${octets} octets`);
  let length = 0;
  for (let i = 0; i < octets; i++) length = length * 256 + reader.u8(`${what}: length`);
  if (length < 0x80 || length < 256 ** (octets - 1))
    reader.fail('bad-length', `${what}: length ${length} in ${octets + 1} octets`);
  return length;
}

function hex(tag: number): string {
  return `0x${tag.toString(16).padStart(2, '0')}`;
}

/** `1.2.840.113549.1.1.11`. Throws `WireError`. */
export function readOid({ content, contentOffset }: DerValue): string {
  const last = content.at(-1);
  if (last === undefined || last >= 0x80 || content.length > 64)
    throw new WireError('bad-value', contentOffset, 'object identifier');
  const arcs: number[] = [];
  let arc = 0;
  for (const octet of content) {
    arc = arc * 128 + (octet & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) throw new WireError('bad-value', contentOffset, 'object identifier');
    if (octet >= 0x80) continue;
    if (arcs.length === 0) {
      const root = Math.min(2, Math.floor(arc / 40));
      arcs.push(root, arc - 40 * root);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}

/** A small non-negative number. Throws `WireError` on others. */
export function readSmallInteger({ content, contentOffset }: DerValue, what: string): number {
  const negative = ((content[0] ?? 0x80) & 0x80) !== 0;
  if (negative || content.length > 6) throw new WireError('bad-value', contentOffset, what);
  return content.reduce((value, octet) => value * 256 + octet, 0);
}

/** Throws `WireError` on anything but one octet. */
export function readBoolean({ content, contentOffset }: DerValue, what: string): boolean {
  if (content.length !== 1) throw new WireError('bad-length', contentOffset, what);
  return content[0] !== 0;
}

/** The octets of a bit string and how many bits of the last one do not count. Throws `WireError`. */
export function readBitString(
  { content, contentOffset }: DerValue,
  what: string,
): { readonly octets: Uint8Array; readonly unusedBits: number } {
  const unusedBits = content[0];
  if (unusedBits === undefined || unusedBits > 7 || (unusedBits > 0 && content.length === 1))
    throw new WireError('bad-value', contentOffset, what);
  return { octets: content.subarray(1), unusedBits };
}

/** Text of any of the string types; a byte that means nothing in it becomes U+FFFD. Throws `WireError` on other types. */
export function readText({ tag, content, contentOffset }: DerValue, what: string): string {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  switch (tag) {
    case derTags.UTF8String:
      return bytes.toString('utf8');
    case derTags.PrintableString:
    case derTags.NumericString:
    case derTags.IA5String:
    case derTags.VisibleString:
    case derTags.TeletexString:
      return bytes.toString('latin1');
    case derTags.BMPString:
      if (content.length % 2 !== 0) throw new WireError('bad-length', contentOffset, what);
      return Buffer.from(bytes).swap16().toString('utf16le');
    case derTags.UniversalString: {
      if (content.length % 4 !== 0) throw new WireError('bad-length', contentOffset, what);
      const points = Array.from({ length: content.length / 4 }, (_, i) => bytes.readUInt32BE(4 * i));
      return points.map(point => (point > 0x10ffff ? '\ufffd' : String.fromCodePoint(point))).join('');
    }
    default:
      throw new WireError('bad-value', contentOffset, `${what}: type ${hex(tag)} is no text`);
  }
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in RFC 5280's form (whole seconds, Z). Throws `WireError`. */
export function readTime({ tag, content, contentOffset }: DerValue, what: string): number {
  const text = Buffer.from(content).toString('latin1');
  const fail = () => new WireError('bad-value', contentOffset, `${what}: no time`);
  const short = tag === derTags.UTCTime;
  if (!short && tag !== derTags.GeneralizedTime) throw fail();
  const parts = (
    short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  ).exec(text);
  if (parts === null) throw fail();
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1)
    .map(part => Number(part ?? 0));
  const fullYear = short ? year + (year < 50 ? 2000 : 1900) : year;
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second));
  // `Date.UTC` takes the years 0 to 99 for those of the last century.
  date.setUTCFullYear(fullYear, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59) throw fail();
  return date.getTime();
}
