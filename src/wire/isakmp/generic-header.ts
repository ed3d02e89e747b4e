import { type ByteReader, type ByteWriter, WireError } from '../bytes.js';

/** Bytes of the generic payload header (RFC 2408 3.2): next payload, reserved, length. */
export const genericHeaderLength = 4;

/**
 * Reads a generic payload header; `body` is bounded to the payload. `suspicion` is added to the error when the
 * reserved byte is not zero or the length impossible. Throws `WireError`.
 */
export function readGenericHeader(
  reader: ByteReader,
  name: string,
  suspicion = '',
): { readonly next: number; readonly body: ByteReader } {
  const next = reader.u8(`${name} next payload`);
  const reservedOffset = reader.offset;
  if (reader.u8(`${name} reserved`) !== 0)
    throw new WireError('bad-value', reservedOffset, `${name} reserved byte is not zero${suspicion}`);
  const lengthOffset = reader.offset;
  const length = reader.u16(`${name} length`);
  if (length < genericHeaderLength)
    throw new WireError(
      'bad-length',
      lengthOffset,
      `${name} length ${length} is less than its header${suspicion}`,
    );
  return { next, body: reader.slice(length - genericHeaderLength, `${name}${suspicion}`) };
}

/** Writes a generic payload header and the body. Throws `RangeError` when the body is too long for it. */
export function writeGenericHeader(writer: ByteWriter, next: number, body: Uint8Array): void {
  const length = genericHeaderLength + body.length;
  if (length > 0xffff) throw new RangeError(`a payload has at most 65535 bytes, not ${length}`);
  writer.u8(next).u8(0).u16(length).bytes(body);
}
