import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex, WireError } from '../../../src/wire/bytes.js';
import { payloadLines } from '../../../src/wire/isakmp/describe.js';
import {
  decodeMessage,
  decodePayloads,
  encodeMessage,
  headerLength,
  type IsakmpMessage,
} from '../../../src/wire/isakmp/message.js';
import { hexFixtures } from '../../support/fixtures.js';
import { SeededRandom } from '../../support/random.js';
import { randomHeader, randomPayloads } from './random-payloads.js';

/** `IPSECKIT_FUZZ` inputs; `IPSECKIT_FUZZ_SEED` for other ones than usual. */
const inputs = Number(process.env.IPSECKIT_FUZZ ?? 1_000_000);
const seed = Number(process.env.IPSECKIT_FUZZ_SEED ?? 2409);

const interesting = [0, 1, 2, 3, 4, 5, 7, 8, 16, 28, 0x7f, 0x80, 0xff];

function insert(bytes: Uint8Array, position: number, piece: Uint8Array): Uint8Array {
  const longer = new Uint8Array(bytes.length + piece.length);
  longer.set(bytes.subarray(0, position));
  longer.set(piece, position);
  longer.set(bytes.subarray(position), position + piece.length);
  return longer;
}

/** Overwrites, cuts, repeats or inserts a few times; keeps the length field right half of the time, to get deeper. */
function mutate(random: SeededRandom, original: Uint8Array): Uint8Array {
  let bytes = original;
  const at = () => random.int(bytes.length + 1);
  for (let left = random.between(1, 4); left > 0; left--) {
    const position = at();
    switch (random.int(8)) {
      case 0:
        bytes = bytes.slice(0, position);
        break;
      case 1:
        bytes = insert(bytes, position, random.bytes(random.int(20)));
        break;
      case 2:
        bytes = insert(bytes, position, bytes.subarray(at(), at()));
        break;
      default:
        bytes = bytes.slice();
        if (position < bytes.length)
          bytes[position] = random.chance(0.5) ? random.pick(interesting) : random.u32();
    }
  }
  if (bytes.length >= headerLength && random.chance(0.5))
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(headerLength - 4, bytes.length);
  return bytes;
}

function corpus(random: SeededRandom): Uint8Array[] {
  const received = hexFixtures('isakmp').map(({ bytes, notes }) => {
    const first = notes.get('first payload');
    if (first === undefined) return bytes;
    const chain = decodePayloads(bytes, Number(first), { decrypted: true });
    return encodeMessage(
      randomHeader(random),
      chain.payloads.map(({ payload }) => payload),
    );
  });
  const made = Array.from({ length: 200 }, () => encodeMessage(randomHeader(random), randomPayloads(random)));
  return [...received, ...made];
}

/** The message; `undefined` when it was refused with a proper `WireError`. */
function tryDecode(bytes: Uint8Array): IsakmpMessage | undefined {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof WireError && error.offset >= 0 && error.offset <= bytes.length) return undefined;
    throw error;
  }
}

test(`${inputs} mutated messages: decoded, or refused with a WireError; every eighth decoded one is encoded again and dumped`, () => {
  console.log(`fuzz: ${inputs} inputs, seed ${seed}`);
  const random = new SeededRandom(seed);
  const originals = corpus(random);
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  let decoded = 0;
  let heapPeak = 0;
  let bytes: Uint8Array = new Uint8Array(0);
  try {
    for (let run = 0; run < inputs; run++) {
      bytes = random.chance(0.02) ? random.bytes(random.int(200)) : mutate(random, random.pick(originals));
      const message = tryDecode(bytes);
      if (run % 10_000 === 0) heapPeak = Math.max(heapPeak, process.memoryUsage().heapUsed);
      if (message === undefined) continue;
      decoded++;
      if (decoded % 8 !== 0) continue;
      const payloads = message.payloads.map(({ payload }) => payload);
      const again = encodeMessage(message.header, payloads);
      const received = bytes.subarray(0, message.header.length);
      // Zeros that only align are not kept.
      if (again.length < received.length)
        assert.deepEqual(
          decodeMessage(again).payloads.map(({ payload }) => payload),
          payloads,
        );
      else if (Buffer.compare(again, received) !== 0) assert.equal(toHex(again), toHex(received));
      payloadLines(payloads);
    }
  } catch (error) {
    console.log(`fuzz: failing input ${toHex(bytes)}`);
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
  console.log(`fuzz: ${decoded} decoded, heap at most ${Math.round(heapPeak / 2 ** 20)} MB`);
  assert.ok(decoded > inputs / 50, `only ${decoded} of ${inputs} got through: the mutations are too wild`);
  assert.ok(heapPeak < 300 * 2 ** 20, `heap grew to ${heapPeak} bytes`);
});

test('decrypted with a wrong key: random bytes are refused with a WireError', () => {
  const random = new SeededRandom(seed);
  let accepted = 0;
  for (let run = 0; run < 20_000; run++) {
    try {
      decodePayloads(random.bytes(random.between(0, 40) * 8), 5, { decrypted: true });
      accepted++;
    } catch (error) {
      assert.ok(error instanceof WireError, String(error));
    }
  }
  assert.ok(accepted < 20, `${accepted} accepted`);
});

test('the costliest datagrams of 64 KB decode or fail quickly', () => {
  const datagram = (type: number, unit: readonly number[]) => {
    const bytes = new Uint8Array(65_507);
    for (let i = headerLength; i < bytes.length; i++) bytes[i] = unit[(i - headerLength) % unit.length] ?? 0;
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 0);
    bytes[16] = type;
    bytes[17] = 0x10;
    new DataView(bytes.buffer).setUint32(headerLength - 4, bytes.length);
    return bytes;
  };
  const startedAt = process.hrtime.bigint();
  for (let type = 1; type < 256; type++) {
    tryDecode(datagram(type, [type, 0, 0, 4]));
    tryDecode(datagram(type, [0, 0, 0xff, 0xc7, 0x80, 1, 0, 1]));
    tryDecode(datagram(type, [type, 0, 0, 8, 0, 0, 0, 1]));
  }
  const milliseconds = Number(process.hrtime.bigint() - startedAt) / 1e6;
  assert.ok(milliseconds < 10_000, `${milliseconds} ms`);
});
