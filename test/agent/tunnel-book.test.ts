import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { TunnelBook } from '../../src/agent/tunnel-book.js';
import { TunnelFiles } from '../../src/agent/tunnel-files.js';
import { IpseckitError } from '../../src/report/errors.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { aliceAddress, bobAddress, tunnelTo, twoStations } from '../support/station.js';

const document = (name: string) => ({
  ...{ format: 'ipseckit-tunnel', version: 1, name, local: aliceAddress, peer: bobAddress },
  ...{ presharedKey: 'secret', ike: '3des-sha1-modp768', esp: '3des-sha1' },
});

describe('persistent tunnels', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ipseckit-tunnels-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  async function hosts(seed: number) {
    const stations = await twoStations(seed);
    const { alice, bob, clock } = stations;
    await bob.agent.setSources([tunnelTo(bobAddress, aliceAddress)]);
    return {
      ...stations,
      book: new TunnelBook(alice.agent, new TunnelFiles(folder), clock, () => aliceAddress),
    };
  }

  test('one that cannot be read is named, and keeps no other down', async () => {
    const { book, pass } = await hosts(61);
    writeFileSync(join(folder, 'a.json'), JSON.stringify({ format: 'ipseckit-tunnel', version: 2 }));
    writeFileSync(join(folder, 'b.json'), JSON.stringify(document('good')));
    const errors = await book.restore(Promise.resolve());
    assert.equal(errors.length, 1);
    assert.ok(errors[0]?.message.includes(join(folder, 'a.json')), errors[0]?.message);
    await pass(2_000);
    assert.deepEqual(
      book.list().map(({ name, state }) => [name, state]),
      [['good', 'up']],
    );
  });

  test('those on file wait for the policy, and say so', async () => {
    const { alice, book, pass } = await hosts(65);
    writeFileSync(join(folder, 'a.json'), JSON.stringify(document('later')));
    let settle: () => void = () => {};
    await book.restore(new Promise(resolve => (settle = resolve)));
    await pass(2_000);
    const [later] = book.list();
    assert.deepEqual([later?.state, alice.driver.filterChanges], ['down', []]);
    assert.match(later?.lastFailure ?? '', /waits for the assigned policy/);
    settle();
    await pass(2_000);
    assert.deepEqual([book.list()[0]?.state, book.list()[0]?.lastFailure], ['up', undefined]);
  });

  test('one whose own address is not there yet comes up when it is', async () => {
    const { alice, book, pass } = await hosts(62);
    alice.moveTo(ipAddress('192.0.2.50'));
    await pass(3_000);
    writeFileSync(join(folder, 'a.json'), JSON.stringify(document('early')));
    assert.deepEqual(await book.restore(Promise.resolve()), []);
    await pass(2_000);
    const [early] = book.list();
    assert.deepEqual(
      [early?.state, /is not an address of this host/.test(early?.lastFailure ?? '')],
      ['down', true],
    );
    alice.moveTo(aliceAddress);
    await pass(10_000);
    assert.equal(book.list()[0]?.state, 'up');
  });

  test('one whose traffic a policy has already is refused, and says so', async () => {
    const { alice, book, pass } = await hosts(64);
    await alice.agent.setSources([{ ...tunnelTo(aliceAddress, bobAddress), origin: 'assigned' }]);
    const audience = { onStep: () => {}, ask: async () => undefined, closed: new AbortController().signal };
    await assert.rejects(
      book.up(document('double'), audience),
      error =>
        error instanceof IpseckitError && error.code === 'CONFLICT' && /filter of 'test'/.test(error.message),
    );
    await pass(100);
    assert.equal(alice.agent.sources.length, 1);
  });

  test('one whose caller has gone is not kept', async () => {
    const { alice, bob, book, pass } = await hosts(63);
    await bob.agent.setSources([]);
    const caller = new AbortController();
    const audience = { onStep: () => {}, ask: async () => undefined, closed: caller.signal };
    const up = book.up(document('abandoned'), audience);
    const refused = assert.rejects(
      up,
      error => error instanceof IpseckitError && error.code === 'INTERRUPTED',
    );
    await pass(500);
    assert.equal(book.list()[0]?.state, 'negotiating');
    caller.abort();
    await pass(500);
    await refused;
    assert.deepEqual([book.list(), alice.agent.sources, readdirSync(folder)], [[], [], []]);
  });
});
