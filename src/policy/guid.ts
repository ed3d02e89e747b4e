import { createHash } from 'node:crypto';
import type { Guid } from './model.js';

/** A GUID as the Windows store writes it, from any usual spelling (braces or not, any case); `undefined` if it is none. */
export function parseGuid(text: string): Guid | undefined {
  const match = /^(?:\{([\da-f-]{36})\}|([\da-f-]{36}))$/i.exec(text);
  const inner = match?.[1] ?? match?.[2];
  if (inner === undefined || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(inner)) return undefined;
  return `{${inner.toUpperCase()}}` as Guid;
}

const guidForm = '{XXXXXXXX-XXXX-XXXX-XXXX-XXXXXXXXXXXX}';
const guidText = Buffer.from(guidForm);
const hexDigits = '0123456789ABCDEF';

/** The GUID with these 16 bytes, of RFC 9562 version 8 (custom) in its version and variant bits. */
export function guidFromBytes(bytes: Uint8Array): Guid {
  const marked = Uint8Array.from(bytes.subarray(0, 16));
  marked[6] = ((marked[6] ?? 0) & 0x0f) | 0x80;
  marked[8] = ((marked[8] ?? 0) & 0x3f) | 0x80;
  // In one piece: of some hundred thousand filters, texts put together of slices would keep all those slices.
  let at = 0;
  for (let i = 0; i < guidForm.length; i++) {
    if (guidForm[i] !== 'X') continue;
    const byte = marked[at >> 1] ?? 0;
    guidText[i] = hexDigits.charCodeAt(at++ % 2 === 0 ? byte >> 4 : byte & 0xf);
  }
  return guidText.toString('latin1') as Guid;
}

/** A GUID that is always the same for the same `base` and `name`. */
export function derivedGuid(base: string, name: string): Guid {
  return guidFromBytes(createHash('sha256').update(`${base}\n${name}`).digest());
}
