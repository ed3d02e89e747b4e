/** ESP with whatever inside, as a peer that breaks the rules would send it. */
import assert from 'node:assert/strict';
import { createEspSealer, espLayout } from '../../src/crypto/packet-cipher.js';
import { RandomPool } from '../../src/crypto/random-pool.js';
import type { SaHalf, SaPair } from '../../src/driver/api.js';
import { espHeaderBytes, paddedBytes, writeEspHeader, writeEspTrailer } from '../../src/wire/esp.js';
import { left, right } from './engine-pair.js';
import { ipPacket } from './packets.js';
import { SeededRandom } from './random.js';

/** A packet of ESP from `left` to `right`, with any plaintext. */
export function forge(
  pair: SaPair,
  plaintext: Uint8Array,
  sequence: number,
  options: { readonly source?: string; readonly tos?: number } = {},
): Uint8Array {
  const half = pair.outbound[0];
  assert.ok(half?.protocol === 'esp' && half.encryption !== undefined);
  return ipPacket(
    { source: options.source ?? left, destination: right, header: { tos: options.tos ?? 0 } },
    50,
    espBytes({ ...half, encryption: half.encryption }, plaintext, sequence),
  );
}

function espBytes(
  half: SaHalf & { encryption: NonNullable<SaHalf['encryption']> },
  plaintext: Uint8Array,
  sequence: number,
): Uint8Array {
  const { ivBytes, icvBytes } = espLayout(half);
  const bytes = new Uint8Array(espHeaderBytes + ivBytes + plaintext.length + icvBytes);
  writeEspHeader(bytes, 0, half.spi, sequence);
  bytes.set(plaintext, espHeaderBytes + ivBytes);
  const random = new SeededRandom(3);
  createEspSealer(half, new RandomPool(length => random.bytes(length))).seal([
    { bytes, start: 0, end: bytes.length, sequenceHigh: 0 },
  ]);
  return bytes;
}

/** A payload as ESP encrypts it: with padding and trailer. */
export function trailed(payload: Uint8Array, nextHeader: number, blockBytes = 16): Uint8Array {
  const plaintext = new Uint8Array(paddedBytes(payload.length, blockBytes));
  plaintext.set(payload);
  writeEspTrailer(plaintext, payload.length, plaintext.length, nextHeader);
  return plaintext;
}
