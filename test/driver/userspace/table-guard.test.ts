import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TableGuard } from '../../../src/driver/userspace/table-guard.js';
import type { TableWatchEvents } from '../../../src/driver/userspace/table-watch.js';

/** A guard whose watch is played by the test; `restore` answers with the outcomes given, then that nothing was gone. */
function guarded(...outcomes: (boolean | Error)[]) {
  const told: string[] = [];
  let looks = 0;
  let events: TableWatchEvents | undefined;
  const steering = {
    restore: async () => {
      looks++;
      const outcome = outcomes.shift() ?? false;
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
  };
  const guard = new TableGuard(
    steering,
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

test('our table removed is put back and told, anybody else’s is nothing to us', async () => {
  const { guard, events, told, looks } = guarded(true);
  events.onRemoved({ name: 'firewall', port: 1 });
  events.onRemoved({ name: 'ipseckit', port: 4711 });
  await settled();
  assert.equal(looks(), 1);
  assert.deepEqual(told, ['another program (pid 4711) removed the nftables table ipseckit']);
  guard.close();
});

test('what the kernel had no room to tell may have been about ours', async () => {
  const { guard, events, told, looks } = guarded(true);
  events.onOverflow();
  await settled();
  assert.equal(looks(), 1);
  assert.deepEqual(told, ['another program removed the nftables table ipseckit']);
  guard.close();
});

test('one that cannot be put back is tried again until it can', { timeout: 30_000 }, async () => {
  const { guard, events, told, looks } = guarded(new Error('nft: busy'), new Error('nft: busy'), true);
  events.onRemoved({ name: 'ipseckit', port: 7 });
  while (looks() < 3) await new Promise(resolve => setTimeout(resolve, 50));
  await settled();
  assert.deepEqual(told, [
    'nft: busy',
    'nft: busy',
    'another program (pid 7) removed the nftables table ipseckit',
  ]);
  guard.close();
});

test('the end of the watch is told', () => {
  const { guard, events, told } = guarded();
  events.onFailure('EBADF');
  assert.match(told[0] ?? '', /nobody watches the nftables table any more \(EBADF\)/);
  guard.close();
});
