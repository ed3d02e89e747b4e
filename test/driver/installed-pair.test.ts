import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RandomPool } from '../../src/crypto/random-pool.js';
import type { SaPair } from '../../src/driver/api.js';
import { InstalledPair } from '../../src/driver/installed-pair.js';
import { lastSequence } from '../../src/driver/lifetime.js';
import { makePair, type Suite, suiteName } from '../support/engine-pair.js';
import { SeededRandom } from '../support/random.js';

function install(
  suite: Suite,
  mode: 'transport' | 'tunnel',
  udp = false,
  more: Partial<SaPair> = {},
): InstalledPair {
  const random = new SeededRandom(1);
  const extra = { ...(udp ? { udpEncapsulation: { localPort: 4500, peerPort: 4500 } } : {}), ...more };
  const { left } = makePair(random, { suite, mode, extra });
  return new InstalledPair(left, new RandomPool(length => random.bytes(length)), 0);
}

/** Largest and smallest addition to a packet, as `esp-ah.md` 6 lists them. */
const overheads: { suite: Suite; least: number; most: number }[] = [
  { suite: { esp: { encryption: '3des', hash: 'sha1' } }, least: 30, most: 37 },
  { suite: { esp: { encryption: 'aes128', hash: 'md5' } }, least: 38, most: 53 },
  { suite: { esp: { encryption: 'aes256', hash: 'sha256' } }, least: 42, most: 57 },
  { suite: { esp: { encryption: 'aes128gcm' } }, least: 34, most: 37 },
  { suite: { esp: { encryption: 'null', hash: 'sha1' } }, least: 22, most: 25 },
  { suite: { ah: 'sha1' }, least: 24, most: 24 },
  { suite: { ah: 'sha256' }, least: 28, most: 28 },
];

describe('an installed pair', () => {
  for (const { suite, least, most } of overheads) {
    test(`${suiteName(suite)} adds ${least} to ${most} bytes, and 20 for a tunnel, 8 for UDP`, () => {
      const added = (mode: 'transport' | 'tunnel', udp: boolean) => {
        const pair = install(suite, mode, udp);
        const sizes = Array.from({ length: 64 }, (_, i) => 100 + i);
        return sizes.map(payload =>
          mode === 'tunnel'
            ? pair.protectedBytes(20, payload) - payload
            : pair.protectedBytes(20, payload) - 20 - payload,
        );
      };
      const range = (sizes: number[]) => [Math.min(...sizes), Math.max(...sizes)];
      assert.deepEqual(range(added('transport', false)), [least, most]);
      assert.deepEqual(range(added('tunnel', false)), [least + 20, most + 20]);
      if (suite.ah === undefined) assert.deepEqual(range(added('tunnel', true)), [least + 28, most + 28]);
    });
  }

  test('its sequence numbers run out at the last one of 32 bits', () => {
    const pair = install({ ah: 'sha1', esp: { encryption: 'aes128' } }, 'transport');
    assert.equal(pair.lifetime.check(0, 0, pair.highestSequence), undefined);
    assert.ok(pair.outboundAh);
    pair.outboundAh.sequence = lastSequence - 1;
    assert.equal(pair.lifetime.check(0, 0, pair.highestSequence)?.kind, 'softExpired');
    pair.outboundAh.sequence++;
    assert.deepEqual(pair.lifetime.check(0, 0, pair.highestSequence), {
      kind: 'hardExpired',
      cause: 'sequence',
    });
  });

  test('extended sequence numbers need integrity and a window', () => {
    const extended = { extendedSequence: true };
    const bundle: Suite = { ah: 'sha1', esp: { encryption: 'aes128' } };
    assert.equal(install(bundle, 'transport', false, extended).highestSequence, 0);
    const refused: [Suite, Partial<SaPair>, RegExp][] = [
      [{ esp: { encryption: 'aes128' } }, extended, /extended sequence numbers without integrity/],
      [bundle, { ...extended, replayWindow: 0 }, /extended sequence numbers without a replay window/],
    ];
    for (const [suite, more, message] of refused)
      assert.throws(() => install(suite, 'transport', false, more), { code: 'INVALID_POLICY', message });
  });
});
