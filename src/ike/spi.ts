/** SPIs between their two forms. */
import type { Spi } from '../driver/api.js';
import { ByteReader, ByteWriter } from '../wire/bytes.js';

/** The lowest SPI that is not reserved (RFC 4303 2.1). */
export const lowestSpi = 256;

/** An SPI as payloads hold it. */
export function spiBytes(spi: Spi): Uint8Array {
  return new ByteWriter().u32(spi).finish();
}

/** An SPI of 4 bytes that is not reserved; `undefined` for anything else. */
export function spiOf(bytes: Uint8Array): Spi | undefined {
  if (bytes.length !== 4) return undefined;
  const value = new ByteReader(bytes).u32('SPI');
  return value >= lowestSpi ? (value as Spi) : undefined;
}
