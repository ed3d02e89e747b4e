import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Host, keysMatch, twoHosts } from './harness.js';

/** Whether what `sender` sends now can be read by `receiver`. */
function reaches(sender: Host, receiver: Host): boolean {
  const pair = sender.current;
  return pair !== undefined && [...receiver.pairs.values()].some(candidate => keysMatch(pair, candidate));
}

test('1,000 seeds of 20 % loss, duplication and reordering all end with SAs that work both ways', () => {
  const network = { loss: 0.2, duplication: 0.2, maxDelayMs: 400 };
  let slowestMs = 0;
  for (let seed = 1; seed <= 1_000; seed++) {
    // One side, the other, or both have traffic from the start.
    const { net, a, b } = twoHosts(seed, network, { traffic: seed % 3 !== 1 }, { traffic: seed % 3 !== 0 });
    const startMs = net.nowMs;
    const done = net.run(600_000, () => reaches(a, b) && reaches(b, a));
    assert.ok(done, `seed ${seed}: no working pair after ten minutes`);
    slowestMs = Math.max(slowestMs, net.nowMs - startMs);
    // And it stays that way while stragglers arrive and half-open exchanges end.
    net.run(70_000);
    assert.ok(
      (reaches(a, b) && reaches(b, a)) || net.run(120_000, () => reaches(a, b) && reaches(b, a)),
      `seed ${seed}: the pair did not last`,
    );
    for (const host of net.hosts)
      for (const pair of host.pairs.values())
        assert.ok(pair.inbound.length > 0 && pair.outbound.length > 0, `seed ${seed}`);
  }
  assert.ok(slowestMs < 400_000, `the slowest seed took ${slowestMs} ms`);
});
