/** A peer that goes silent at each message: every wait ends, with a reason, and nothing is left behind. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FailureReason } from '../../src/ike/api.js';
import { toHex } from '../../src/wire/bytes.js';
import { twoHosts } from './harness.js';

/** The message that never arrives, and how its absence ends for the initiator. */
const lost: readonly {
  readonly message: string;
  readonly reason: FailureReason | 'acquired';
  readonly named?: string;
}[] = [
  { message: 'main mode 1', reason: 'no-response', named: 'main mode 1' },
  { message: 'main mode 2', reason: 'no-response', named: 'main mode 1' },
  { message: 'main mode 3', reason: 'no-response', named: 'main mode 3' },
  { message: 'main mode 4', reason: 'no-response', named: 'main mode 3' },
  { message: 'main mode 5', reason: 'preshared-keys-differ', named: 'main mode 5' },
  { message: 'main mode 6', reason: 'preshared-keys-differ', named: 'main mode 5' },
  // The main mode is doubted, and another one tried.
  { message: 'quick mode 1', reason: 'no-response', named: 'main mode 1' },
  { message: 'quick mode 2', reason: 'no-response', named: 'main mode 1' },
  { message: 'quick mode 3', reason: 'acquired' },
];

/** Who sends it has its main mode already, who waits for it has none yet. */
const lastOfMainMode = 5;

describe('the network is silent from one message on', () => {
  for (const [index, { message, reason, named }] of lost.entries())
    test(message, () => {
      const { net, a, b } = twoHosts(index + 1, { maxDelayMs: 1 });
      const seen = new Set<string>();
      net.translate = datagram => {
        seen.add(toHex(datagram.bytes));
        return seen.size > index ? undefined : datagram;
      };
      const startMs = net.nowMs;
      net.acquire(a);
      assert.ok(
        net.run(400_000, () => a.acquired.length + a.failures.length > 0),
        'the wait ends',
      );
      const afterSeconds = (net.nowMs - startMs) / 1_000;
      assert.ok(afterSeconds <= 200, `after ${afterSeconds} s`);
      const [failure] = a.failures;
      assert.deepEqual(
        failure ? [failure.reason, failure.message] : ['acquired', undefined],
        [reason, named],
        failure?.text,
      );
      assert.equal(
        a.audits.some(({ id }) => id === 547),
        failure !== undefined,
      );
      assert.equal(a.engine.statistics().activeAcquire, 0);

      // What was never finished is forgotten; a main mode that was lasts until its lifetime ends or somebody closes it.
      net.run(120_000);
      for (const [host, lasts] of [
        [a, index > lastOfMainMode],
        [b, index >= lastOfMainMode],
      ] as const) {
        assert.equal(host.engine.mainModes().length > 0, lasts);
        net.apply(host, host.engine.closeAll(net.nowMs, 'the test is over'));
      }
      net.run(200_000);
      for (const host of [a, b]) {
        assert.equal(host.engine.nextWakeMs(), undefined, 'no timer is left');
        assert.equal(host.engine.statistics().connectionListSize, 0);
        assert.equal(host.pairs.size, 0);
      }
    });
});
