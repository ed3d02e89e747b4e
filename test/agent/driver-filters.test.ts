import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ActivePolicy } from '../../src/agent/active-policy.js';
import { DriverFilters } from '../../src/agent/driver-filters.js';
import type { DriverFilter, PairId, SaPair } from '../../src/driver/api.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange } from '../../src/wire/ip/selector.js';
import { aliceAddress, twoStations } from '../support/station.js';

/** A pair that a peer negotiated under the default response rule. */
function responsePair(number: number): SaPair {
  const peer = ipAddress(`198.51.${number >> 8}.${number & 255}`);
  return {
    id: `pair ${number}` as PairId,
    local: aliceAddress,
    peer,
    mode: 'transport',
    selector: {
      ...{ source: hostRange(aliceAddress), destination: hostRange(peer) },
      ...{ protocol: 0, sourcePort: 0, destinationPort: 0 },
    },
    inbound: [],
    outbound: [],
    lifetime: { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 },
  };
}

test('changes that come while the driver works become one', async () => {
  const { alice } = await twoStations(1);
  const lists: (readonly DriverFilter[])[] = [];
  let finish: () => void = () => {};
  alice.driver.setFilters = filters => {
    lists.push(filters);
    return new Promise(resolve => {
      finish = resolve;
    });
  };
  const filters = new DriverFilters(alice.driver, () => new ActivePolicy([], []), assert.ifError);
  for (let number = 0; number < 300; number++) {
    filters.pairInstalled(responsePair(number));
    await new Promise(setImmediate);
  }
  assert.equal(lists.length, 1, 'the driver is busy with the first');
  finish();
  await new Promise(setImmediate);
  assert.deepEqual(
    lists.map(list => list.length),
    [2, 600],
  );
});
