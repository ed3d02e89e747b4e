import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DriverFilter, FilterId } from '../../../src/driver/api.js';
import { countersOf, softCountersOf } from '../../../src/driver/userspace/steering-counters.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { hostRange } from '../../../src/wire/ip/selector.js';

function filter(
  id: string,
  direction: DriverFilter['direction'],
  action: DriverFilter['action'],
): DriverFilter {
  const any = hostRange(ipAddress('10.0.0.1'));
  return {
    id: id as FilterId,
    policyId: '{0}',
    direction,
    action,
    acceptUnsecured: false,
    allowFallback: false,
    selector: { source: any, destination: any, protocol: 0, sourcePort: 0, destinationPort: 0 },
  };
}

const rule = (comment: string, packets: number, ...verdict: object[]) => ({
  rule: { family: 'inet', comment, expr: [{ match: {} }, { counter: { packets, bytes: 1 } }, ...verdict] },
});

test('countersOf adds up the rules of each filter, and tells drops apart', () => {
  const filters = [
    filter('secure', 'outbound', 'secure'),
    filter('clear', 'inbound', 'secure'),
    filter('block', 'outbound', 'block'),
  ];
  const listing = {
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { chain: { name: 'outbound' } },
      rule('filter 0', 5, { mangle: {} }, { accept: null }),
      rule('filter 0', 2, { drop: null }),
      rule('filter 1', 7, { drop: null }),
      rule('filter 2', 11, { drop: null }),
      rule('filter 99', 13, { drop: null }),
      { rule: { family: 'inet', expr: [{ accept: null }] } },
    ],
  };
  assert.deepEqual(countersOf(JSON.stringify(listing), filters), {
    filters: new Map([
      ['secure', 7],
      ['clear', 7],
      ['block', 11],
    ]),
    drops: new Map([
      ['secure', 2],
      ['clear', 7],
      ['block', 11],
    ]),
    blocked: 13,
    clearButSecured: 7,
  });
});

test('softCountersOf reads the counters of the set of soft SAs', () => {
  const element = (peer: string, local: string, packets: number) => ({
    elem: { val: { concat: [peer, local] }, counter: { packets, bytes: 1 } },
  });
  const listing = {
    nftables: [
      { metainfo: { version: '1.0.6' } },
      {
        set: { name: 'soft', elem: [element('10.0.0.2', '10.0.0.1', 3), element('10.0.0.3', '10.0.0.1', 0)] },
      },
    ],
  };
  assert.deepEqual(
    [...softCountersOf(JSON.stringify(listing))],
    [
      ['10.0.0.2 . 10.0.0.1', 3],
      ['10.0.0.3 . 10.0.0.1', 0],
    ],
  );
  assert.equal(softCountersOf('{"nftables":[{"set":{"name":"soft"}}]}').size, 0);
});
