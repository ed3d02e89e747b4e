/** What all blobs share: a GUID that says which they are, the length of the body, the body, one byte more. */
import { ByteReader, ByteWriter } from '../../../wire/bytes.js';
import type { Guid } from '../../model.js';
import { encodeField, type Field, guid, storedGuid, u32 } from './fields.js';

/** Bytes to a typed value and back. `decode` throws `WireError`. */
export interface Blob<T> {
  decode(bytes: Uint8Array): T;
  encode(value: T): Uint8Array;
}

/**
 * Reads the GUID and the length and returns a reader of what follows. A length beyond the end is a lie and refused;
 * one that is too small is not trusted, for layouts are walked by their counts.
 */
export function openFrame(bytes: Uint8Array, type: Guid, what: string): ByteReader {
  const reader = new ByteReader(bytes);
  const found = guid.read(reader, `${what}: type`);
  if (found !== type)
    new ByteReader(bytes).fail('bad-value', `${what}: the type is ${found}, expected ${type}`);
  const length = u32.read(reader, `${what}: length`);
  if (length > reader.remaining)
    new ByteReader(bytes.subarray(16), 16).fail(
      'bad-length',
      `${what}: its length says ${length} bytes, ${reader.remaining} follow`,
    );
  return reader;
}

export interface FrameParts {
  /** What the length counts, when that is not the whole body. */
  readonly length?: number;
  /** What stands behind the body, and is not counted. */
  readonly extension?: Uint8Array;
  readonly trailingByte?: boolean;
}

export function closeFrame(type: Guid, body: Uint8Array, parts: FrameParts = {}): Uint8Array {
  const writer = new ByteWriter().bytes(storedGuid(type));
  u32.write(writer, parts.length ?? body.length);
  writer.bytes(body);
  if (parts.extension !== undefined) writer.bytes(parts.extension);
  if (parts.trailingByte !== false) writer.u8(0);
  return writer.finish();
}

/** A blob whose length counts its whole body. */
export function blob<T>(what: string, type: Guid, body: Field<T>): Blob<T> {
  return {
    decode: bytes => body.read(openFrame(bytes, type, what), what),
    encode: value => closeFrame(type, encodeField(body, value)),
  };
}
