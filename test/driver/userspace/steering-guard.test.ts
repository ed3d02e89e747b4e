import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RemovalEvents } from '../../../src/driver/userspace/removal-watch.js';
import { SteeringGuard } from '../../../src/driver/userspace/steering-guard.js';

/** A guard whose watch is played by the test; `restore` answers with the outcomes given, then that nothing was gone. */
function guarded(...outcomes: (boolean | Error)[]) {
  const told: string[] = [];
  let looks = 0;
  let events: RemovalEvents | undefined;
  const restore = async () => {
    looks++;
    const outcome = outcomes.shift() ?? false;
    if (outcome instanceof Error) throw outcome;
    return outcome;
  };
  const guard = new SteeringGuard(
    'table',
    restore,
    error => told.push(error.message),
    given => {
      events = given;
      return { close: () => {} };
    },
  );
  assert.ok(events);
  return { guard, events, told, looks: () => looks };
}

const settled = () => new Promise(setImmediate);

test('what was removed is put back and told; our own changes are looked at and nothing to tell', async () => {
  const { guard, events, told, looks } = guarded(true, false);
  events.onRemoved(4711);
  await settled();
  events.onRemoved(1);
  await settled();
  assert.equal(looks(), 2);
  assert.deepEqual(told, ['another program (pid 4711) removed the nftables table ipseckit, or a part of it']);
  guard.close();
});

test('what the kernel had no room to tell may have been about ours', async () => {
  const { guard, events, told, looks } = guarded(true);
  events.onOverflow();
  await settled();
  assert.equal(looks(), 1);
  assert.deepEqual(told, ['another program removed the nftables table ipseckit, or a part of it']);
  guard.close();
});

test('one that cannot be put back is tried again until it can', { timeout: 30_000 }, async () => {
  const { guard, events, told, looks } = guarded(new Error('nft: busy'), new Error('nft: busy'), true);
  events.onRemoved(7);
  while (looks() < 3) await new Promise(resolve => setTimeout(resolve, 50));
  await settled();
  assert.deepEqual(told, [
    'nft: busy',
    'nft: busy',
    'another program (pid 7) removed the nftables table ipseckit, or a part of it',
  ]);
  guard.close();
});

test('a thousand rules removed at once are looked at twice', async () => {
  const { guard, events, told, looks } = guarded(true);
  for (let rule = 0; rule < 1000; rule++) events.onRemoved(7);
  await settled();
  await settled();
  assert.deepEqual([looks(), told.length], [2, 1]);
  guard.close();
});

test('the end of the watch is told', () => {
  const { guard, events, told } = guarded();
  events.onFailure('EBADF');
  assert.match(
    told[0] ?? '',
    /nobody watches the nftables table ipseckit, or a part of it any more \(EBADF\)/,
  );
  guard.close();
});
