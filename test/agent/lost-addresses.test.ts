import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LostAddresses } from '../../src/agent/lost-addresses.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { VirtualClock } from '../support/virtual-clock.js';

const [one, other] = [ipAddress('192.0.2.1'), ipAddress('192.0.2.2')];

test('an address is lost five seconds after it has gone, unless it comes back', async () => {
  const clock = new VirtualClock();
  const lost: string[] = [];
  const addresses = new LostAddresses(clock, address => lost.push(address));
  addresses.update([one, other]);
  addresses.update([other]);
  await clock.advance(4_000);
  addresses.update([one, other]);
  await clock.advance(10_000);
  assert.deepEqual(lost, []);
  addresses.update([other]);
  addresses.update([]);
  await clock.advance(5_000);
  assert.deepEqual(lost, [one, other]);
  addresses.update([one]);
  addresses.update([]);
  addresses.stop();
  await clock.advance(10_000);
  assert.deepEqual(lost, [one, other]);
});
