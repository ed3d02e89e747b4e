/** Writing DER: each function gives one whole value. */
import { ByteWriter, fromHex } from '../bytes.js';
import { contextTag, derTags, primitiveContextTag } from './der.js';

/** A value of any type around its content. */
export function derValue(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const writer = new ByteWriter().u8(tag);
  if (length < 0x80) writer.u8(length);
  else {
    const octets = fromHex(length.toString(16).padStart(length < 0x100 ? 2 : length < 0x1_0000 ? 4 : 8, '0'));
    const shortest = octets.subarray(octets.findIndex(octet => octet !== 0));
    writer.u8(0x80 | shortest.length).bytes(shortest);
  }
  for (const content of contents) writer.bytes(content);
  return writer.finish();
}

export function derSequence(...values: readonly Uint8Array[]): Uint8Array {
  return derValue(derTags.SEQUENCE, ...values);
}

/** A set of one value; larger ones would have to be sorted. */
export function derSetOf(...values: readonly Uint8Array[]): Uint8Array {
  return derValue(derTags.SET, ...[...values].sort((a, b) => Buffer.compare(a, b)));
}

/** `[n]` around whole values. */
export function derExplicit(n: number, ...values: readonly Uint8Array[]): Uint8Array {
  return derValue(contextTag(n), ...values);
}

/** `[n]` in place of the tag of a primitive value with this content. */
export function derImplicit(n: number, content: Uint8Array): Uint8Array {
  return derValue(primitiveContextTag(n), content);
}

/** A non-negative number. */
export function derInteger(value: number | Uint8Array): Uint8Array {
  const octets = typeof value === 'number' ? fromHex(evenHex(value)) : value;
  const start = octets.findIndex(octet => octet !== 0);
  const shortest = start < 0 ? Uint8Array.of(0) : octets.subarray(start);
  const sign = (shortest[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0);
  return derValue(derTags.INTEGER, sign, shortest);
}

function evenHex(value: number): string {
  const digits = value.toString(16);
  return digits.length % 2 === 0 ? digits : `0${digits}`;
}

export function derOid(text: string): Uint8Array {
  const [root = 0, second = 0, ...arcs] = text.split('.').map(Number);
  return derValue(derTags.OID, Uint8Array.from([40 * root + second, ...arcs].flatMap(base128)));
}

function base128(arc: number): number[] {
  const groups = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128))
    groups.unshift((rest % 128) | 0x80);
  return groups;
}

export const derNull: Uint8Array = derValue(derTags.NULL);

export function derBoolean(value: boolean): Uint8Array {
  return derValue(derTags.BOOLEAN, Uint8Array.of(value ? 0xff : 0));
}

export function derOctetString(content: Uint8Array): Uint8Array {
  return derValue(derTags['OCTET STRING'], content);
}

export function derBitString(octets: Uint8Array, unusedBits = 0): Uint8Array {
  return derValue(derTags['BIT STRING'], Uint8Array.of(unusedBits), octets);
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
export function derTime(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/\.\d+Z$|[-:T]/g, '');
  const early = Number(digits.slice(0, 4)) < 2050;
  const text = `${early ? digits.slice(2) : digits}Z`;
  return derValue(early ? derTags.UTCTime : derTags.GeneralizedTime, Buffer.from(text, 'latin1'));
}
