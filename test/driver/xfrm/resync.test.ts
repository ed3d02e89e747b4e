import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DriverFilter } from '../../../src/driver/api.js';
import { filterRequestId, pairRequestId } from '../../../src/driver/xfrm/marks.js';
import { PairRecord } from '../../../src/driver/xfrm/pair-book.js';
import { missedExpiries, pendingAcquires } from '../../../src/driver/xfrm/resync.js';
import { XfrmRules } from '../../../src/driver/xfrm/rules.js';
import { statesOf } from '../../../src/driver/xfrm/states.js';
import type { XfrmStateReport } from '../../../src/wire/netlink/xfrm-state.js';
import { one, other, selector } from '../../support/driver-suite.js';
import { secureFilter, staticEnds } from '../../support/static-pair.js';

const connection = {
  name: 'x',
  one,
  other,
  mode: 'transport',
  esp: { encryption: '3des', hash: 'sha1' },
} as const;
const lifetime = { softSeconds: 100, hardSeconds: 200, softKilobytes: 10, hardKilobytes: 20 };
const pair = { ...staticEnds(connection, 1).one.pair, lifetime };
const addedAtSeconds = 1000;

function reportsOf(record: PairRecord, bytes = 0): XfrmStateReport[] {
  const usage = { bytes, packets: 1, addedAtSeconds, usedAtSeconds: 0 };
  return [...statesOf(record, 'inbound'), ...statesOf(record, 'outbound')].map(state => ({
    ...state,
    usage,
    replayed: 0,
    integrityFailed: 0,
  }));
}

describe('after events were lost', () => {
  const record = () => new PairRecord(pair, pairRequestId(1), 0);
  const missed = (one: PairRecord, reports: readonly XfrmStateReport[], nowSeconds: number) =>
    missedExpiries([one], new Map([[one.requestId, reports]]), nowSeconds).map(({ hard, cause }) => [
      hard ? 'hard' : 'soft',
      cause,
    ]);

  test('nothing is told of a pair that is well', () => {
    assert.deepEqual(missed(record(), reportsOf(record()), addedAtSeconds + 99), []);
  });

  test('soft limits of time and volume are, once', () => {
    const soft = record();
    assert.deepEqual(missed(soft, reportsOf(soft), addedAtSeconds + 101), [['soft', 'seconds']]);
    assert.deepEqual(missed(soft, reportsOf(soft, 10 * 1024), addedAtSeconds), [['soft', 'kilobytes']]);
    soft.softExpired = true;
    assert.deepEqual(missed(soft, reportsOf(soft), addedAtSeconds + 101), []);
  });

  test('a state that is gone ends its pair, once', () => {
    const hard = record();
    assert.deepEqual(missed(hard, reportsOf(hard).slice(1), addedAtSeconds), [['hard', 'seconds']]);
    assert.deepEqual(missed(hard, [], addedAtSeconds), [['hard', 'seconds']]);
    hard.hardExpired = true;
    assert.deepEqual(missed(hard, [], addedAtSeconds), []);
  });

  test('packets that wait ask again, for their filter', () => {
    const rules = new XfrmRules();
    const filter: DriverFilter = secureFilter('out', 'outbound', selector(one, other));
    rules.set([filter]);
    const number = rules.find(filter.id)?.number ?? 0;
    const [policy] = rules.policiesOf(filter.id, {
      interfaces: [],
      broadcastAddresses: [],
      noDefaultExempt: 0,
      ipv6: true,
    });
    assert.ok(policy !== undefined);
    const [state] = statesOf(
      { pair, requestId: filterRequestId(number), peer: { address: other, port: 0 } },
      'outbound',
    );
    assert.ok(state !== undefined);
    const usage = { bytes: 0, packets: 0, addedAtSeconds, usedAtSeconds: 0 };
    const waiting = {
      ...state,
      id: { ...state.id, spi: 0 },
      usage,
      replayed: 0,
      integrityFailed: 0,
      sequence: 7,
    };
    const find = (requestId: number) => (requestId === filterRequestId(number) ? policy : undefined);
    assert.deepEqual(pendingAcquires([waiting, ...reportsOf(record())], find), [
      { destination: other, source: one, protocol: 50, packet: state.selector, policy, sequence: 7 },
    ]);
  });
});
