/** Text files of Windows: UTF-16 with or without a byte order mark, UTF-8, and the 8-bit code page. */
import { StoreFormatError } from './format-error.js';

/** The text without its byte order mark. Throws `StoreFormatError` for UTF-16 with half a character at its end. */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return utf16(bytes, 2, 'utf-16le');
  if (first === 0xfe && second === 0xff) return utf16(bytes, 2, 'utf-16be');
  if (bytes.length > 1 && first !== 0 && second === 0) return utf16(bytes, 0, 'utf-16le');
  if (bytes.length > 1 && first === 0 && second !== 0) return utf16(bytes, 0, 'utf-16be');
  return utf8(bytes);
}

/** UTF-16LE with a byte order mark, as regedit writes. */
export function encodeUtf16(text: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(0xff, 0xfe), Buffer.from(text, 'utf16le')]);
}

function utf16(bytes: Uint8Array, start: number, encoding: 'utf-16le' | 'utf-16be'): string {
  if (bytes.length % 2 !== 0)
    throw new StoreFormatError(
      `offset ${bytes.length - 1}`,
      'the file is UTF-16 text and ends within a character: it was cut off, or is no text',
    );
  const body = Buffer.from(bytes.subarray(start));
  return (encoding === 'utf-16le' ? body : body.swap16()).toString('utf16le');
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Every byte means something in the code page of western Windows.
    return new TextDecoder('windows-1252').decode(bytes);
  }
}
