import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { PolicySource } from '../../src/agent/active-policy.js';
import { DirectoryCache } from '../../src/agent/directory-cache.js';
import { nextRetryMinutes } from '../../src/agent/directory-follower.js';
import { PolicyKeeper } from '../../src/agent/policy-keeper.js';
import type { Policy } from '../../src/policy/model.js';
import { DirectoryStore } from '../../src/policy/stores/directory/directory-store.js';
import { assignmentDn, gpoDn, policyContainer } from '../../src/policy/stores/directory/entries.js';
import { policyOf, withOtherIds } from '../policy/support.js';
import { MemoryDirectory } from '../support/directory.js';
import { assignmentEntry, containerEntry, policyEntries } from '../support/ldif.js';
import { VirtualClock } from '../support/virtual-clock.js';

const url = 'ldap://dc.example.com';
const base = 'DC=example,DC=com';
const container = policyContainer(base);
const gpo = gpoDn('{31B2F340-016D-11D2-945F-00C04FB984F9}', base);

const minutes = (count: number) => count * 60_000;
const local = policyOf('-w REG -p Mine -r Any -f 0+*:81:TCP -n PASS');
const dynamic = policyOf('-w REG -p Dynamic -r Any -f 0+*:99:TCP -n BLOCK');

/** A policy of the directory with a port that tells one content from another; it polls every 45 minutes. */
function domainPolicy(port: number, changedAtSeconds: number, name = 'Domain'): Policy {
  const policy = policyOf(`-w REG -p ${name}:45 -r Any -f 0+*:${port}:TCP -n BLOCK`);
  return { ...policy, changedAtSeconds };
}

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** An agent's policies with a directory in memory; `state` is the home of an earlier one. */
function world(state = mkdtempSync(join(tmpdir(), 'ipseckit-follower-'))) {
  folders.push(state);
  const clock = new VirtualClock();
  const memory = new MemoryDirectory();
  const cache = new DirectoryCache({ state, runtime: state }, url);
  const events: number[] = [];
  const reasons: string[] = [];
  const errors: Error[] = [];
  let sources: readonly PolicySource[] = [{ origin: 'dynamic', policy: dynamic }];
  const stored: { local: Policy | undefined; fail?: Error; refuse?: Error } = { local };
  const keeper = new PolicyKeeper({
    local: {
      assigned: async () => {
        if (stored.fail !== undefined) throw stored.fail;
        return stored.local;
      },
      path: ({ id }) => `/store/${id}`,
    },
    agent: {
      get sources() {
        return sources;
      },
      setSources: async next => {
        if (stored.refuse !== undefined) throw stored.refuse;
        sources = next;
      },
    },
    clock,
    directory: {
      store: new DirectoryStore({ url, base, gpo }, memory.ask),
      cache,
      refreshMinutes: 90,
    },
    onEvent: event => {
      if (event.kind === 'error') errors.push(event.error);
      if (event.kind !== 'policy') return;
      events.push(event.event.id);
      reasons.push(event.event.reason ?? '');
    },
    onLocalPolicy: () => {},
  });
  memory.put(containerEntry(gpo));
  return {
    state,
    clock,
    memory,
    cache,
    keeper,
    stored,
    errors,
    put: (policy: Policy) => memory.put(...policyEntries([policy], container)),
    assign: (policy: Policy) =>
      memory.put(assignmentEntry(assignmentDn(gpo), `CN=ipsecPolicy${policy.id},${container}`)),
    /** The policies in force and the ports they are about, the assigned one first. */
    inForce: () =>
      sources.map(
        ({ policy }) => `${policy.name} ${policy.rules[0]?.filterList?.filters[0]?.destinationPort}`,
      ),
    /** The events since the last call. */
    said: () => events.splice(0),
    reasons,
  };
}

describe('a directory policy over a local one', () => {
  test('is in force when one is assigned, never merged, with the dynamic rules beside it', async () => {
    const { keeper, put, assign, inForce, said, cache } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    assert.deepEqual(said(), [5460, 5456]);
    assert.equal(keeper.inForce?.kind, 'directory');
    assert.match(
      keeper.inForce.path,
      /^LDAP:\/\/CN=ipsecPolicy\{.*\},CN=IP Security,CN=System,DC=example,DC=com$/,
    );
    assert.equal(keeper.overridden?.name, 'Mine');
    assert.equal(keeper.directory?.state, 'applied');
    assert.equal(statSync(cache.path).mode & 0o777, 0o600);
  });

  test('without one, the local policy is', async () => {
    const { keeper, inForce, said, clock, put, assign } = world();
    await keeper.start();
    assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
    assert.deepEqual(said(), [5460]);
    assert.equal(keeper.directory?.state, 'unassigned');
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await clock.advance(minutes(89));
    assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
    await clock.advance(minutes(1));
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
  });

  test('is polled as often as it says: unchanged stays, changed is applied, unassigned gives way', async () => {
    const { keeper, put, assign, inForce, said, clock, memory, cache } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    said();
    await clock.advance(minutes(44));
    assert.deepEqual(said(), []);
    const before = memory.searches;
    await clock.advance(minutes(1));
    assert.deepEqual(said(), [5463]);
    assert.equal(memory.searches - before, 2, 'the pointer and the policy object alone');
    // A filter that is edited without touching the policy object is not noticed.
    put(domainPolicy(443, 100));
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5463]);
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    put(domainPolicy(443, 101));
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5464]);
    assert.deepEqual(inForce(), ['Domain 443', 'Dynamic 99']);
    const other = withOtherIds(domainPolicy(25, 7, 'Other'), 'other');
    put(other);
    assign(other);
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5456]);
    assert.deepEqual(inForce(), ['Other 25', 'Dynamic 99']);
    memory.remove(assignmentDn(gpo));
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5460]);
    assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
    assert.equal(keeper.overridden, undefined);
    assert.equal(cache.read(), undefined, 'and its copy is gone');
  });

  test('when the directory does not answer, it stays, and the retries back off', async () => {
    const { keeper, put, assign, inForce, said, clock, memory } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    said();
    memory.isUp = false;
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5466]);
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    assert.equal(keeper.directory?.state, 'cached');
    assert.match(keeper.directory?.error ?? '', /ECONNREFUSED/);
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { nextLookAtMs = 0 } = keeper.directory ?? {};
      waits.push((nextLookAtMs - clock.nowMs()) / minutes(1));
      await clock.advance(nextLookAtMs - clock.nowMs());
    }
    assert.deepEqual(waits, [1, 4, 25, 166, 166]);
    assert.deepEqual(said(), [], 'a state is said once');
    memory.isUp = true;
    await clock.advance(minutes(166));
    assert.deepEqual(said(), [5467]);
    assert.equal(keeper.directory?.state, 'applied');
    memory.isUp = false;
    await clock.advance(minutes(45));
    put(domainPolicy(443, 102));
    memory.isUp = true;
    await clock.advance(minutes(1));
    assert.deepEqual(said(), [5466, 5468]);
    assert.deepEqual(inForce(), ['Domain 443', 'Dynamic 99']);
  });

  test('at the start, the copy of the last time stands in for a directory that does not answer', async () => {
    const first = world();
    first.put(domainPolicy(80, 100));
    first.assign(domainPolicy(80, 100));
    await first.keeper.start();
    first.keeper.stop();

    const next = world(first.state);
    next.memory.isUp = false;
    await next.keeper.start();
    assert.deepEqual(next.inForce(), ['Domain 80', 'Dynamic 99']);
    assert.deepEqual(next.said(), [5458]);
    next.put(domainPolicy(80, 100));
    next.assign(domainPolicy(80, 100));
    next.memory.isUp = true;
    await next.clock.advance(minutes(1));
    assert.deepEqual(next.said(), [5467]);
    next.keeper.stop();

    const answered = world(first.state);
    answered.put(domainPolicy(80, 100));
    answered.assign(domainPolicy(80, 100));
    await answered.keeper.start();
    assert.deepEqual(answered.said(), [5456], 'a start reads everything again');

    writeFileSync(first.cache.path, readFileSync(first.cache.path, 'utf8').slice(0, 200));
    const damaged = world(first.state);
    damaged.memory.isUp = false;
    await damaged.keeper.start();
    assert.deepEqual(damaged.said(), [5459, 5457]);
    assert.equal(damaged.keeper.directory?.state, 'unreachable');
  });

  test('unreachable and never seen: the local policy, and the retries go on', async () => {
    const { keeper, inForce, said, clock, memory, put, assign } = world();
    memory.isUp = false;
    await keeper.start();
    assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
    assert.deepEqual(said(), [5460, 5457]);
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    memory.isUp = true;
    await clock.advance(minutes(1));
    assert.deepEqual(said(), [5456]);
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
  });

  test('a policy or GPO that is deleted while assigned does not unassign it', async () => {
    const { keeper, put, assign, inForce, said, clock, memory } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    said();
    memory.remove(`CN=ipsecPolicy${domainPolicy(80, 100).id},${container}`);
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5466]);
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    memory.remove(assignmentDn(gpo));
    memory.remove(gpo);
    await clock.advance(minutes(1));
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
  });

  test('what the engine refuses is said, and what was in force stays', async () => {
    const { keeper, put, assign, inForce, said, clock, stored, reasons } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    said();
    put(domainPolicy(443, 101));
    stored.refuse = new Error('nft says no');
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5457]);
    assert.equal(reasons.at(-1), 'nft says no');
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    delete stored.refuse;
    await clock.advance(minutes(1));
    assert.deepEqual(said(), [5464]);
    assert.deepEqual(inForce(), ['Domain 443', 'Dynamic 99']);
  });

  test('a local store that cannot be read does not matter meanwhile, and is said', async () => {
    const { keeper, put, assign, inForce, stored, errors } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    stored.fail = new Error('assigned.json is damaged');
    await keeper.reload();
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    assert.equal(keeper.error, 'assigned.json is damaged');
    assert.deepEqual(errors, []);
  });

  test('a local store that cannot be read changes nothing until it can be', async () => {
    const { keeper, inForce, stored, errors } = world();
    let isSettled = false;
    keeper.settled.then(() => {
      isSettled = true;
    });
    stored.fail = new Error('assigned.json is damaged');
    await keeper.start();
    await keeper.reload();
    assert.deepEqual([isSettled, inForce(), errors.length], [false, ['Dynamic 99'], 1]);
    delete stored.fail;
    await keeper.reload();
    assert.deepEqual([isSettled, inForce().length], [true, 2]);
  });

  test('parts that cannot be read are left out and said', async () => {
    const { keeper, memory, assign, said, reasons } = world();
    const policy = domainPolicy(80, 100);
    memory.put(
      ...policyEntries([policy], container).filter(({ dn }) => !dn.includes('ipsecNegotiationPolicy')),
    );
    assign(policy);
    await keeper.start();
    assert.deepEqual(said(), [5460, 5456, 5462]);
    assert.match(reasons.at(-1) ?? '', /the rule has no filter action/);
  });

  /** A policy's entries, the filter list's with what nobody can read. */
  const damagedEntries = (policy: Policy) =>
    policyEntries([policy], container).map(entry => ({
      ...entry,
      attributes: entry.attributes.map(([name, value]): (typeof entry.attributes)[number] =>
        entry.dn.includes('ipsecFilter') && name === 'ipsecData' ? [name, new Uint8Array(9)] : [name, value],
      ),
    }));

  test('a rule that cannot be read is left out, said, and shown until it is repaired', async () => {
    const { keeper, memory, put, assign, said, reasons, clock, state, inForce } = world();
    const policy = domainPolicy(80, 100);
    memory.put(...damagedEntries(policy));
    assign(policy);
    await keeper.start();
    assert.deepEqual(said(), [5460, 5456, 5462]);
    const [leftOut] = keeper.directory?.leftOut ?? [];
    assert.equal(leftOut, reasons.at(-1));
    assert.match(
      leftOut ?? '',
      /^warning: policy 'Domain', rule 'Any': it cannot be read: CN=ipsecFilter\{.*offset.*; the rule is not in force$/,
    );
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5463], 'once is enough');
    keeper.stop();

    const restarted = world(state);
    restarted.memory.isUp = false;
    await restarted.keeper.start();
    assert.deepEqual(restarted.keeper.directory?.leftOut, [leftOut], 'the copy knows it too');

    // Without the policy itself being touched.
    put(policy);
    const again = world(state);
    again.memory.put(...damagedEntries(policy));
    again.assign(policy);
    await again.keeper.start();
    again.put(policy);
    await again.clock.advance(minutes(45));
    assert.deepEqual(again.keeper.directory?.leftOut, undefined);
    assert.deepEqual(again.inForce(), ['Domain 80', 'Dynamic 99']);
    assert.deepEqual(inForce(), ['Domain undefined', 'Dynamic 99']);
  });

  test('one that could be read before stays in force as it was', async () => {
    const { keeper, memory, put, assign, said, reasons, clock, inForce, state } = world();
    put(domainPolicy(80, 100));
    assign(domainPolicy(80, 100));
    await keeper.start();
    said();
    memory.put(...damagedEntries(domainPolicy(443, 200)));
    await clock.advance(minutes(45));
    assert.deepEqual(said(), [5464, 5462]);
    assert.match(reasons.at(-1) ?? '', /; the rule stays in force as it was read last$/);
    assert.deepEqual(inForce(), ['Domain 80', 'Dynamic 99']);
    keeper.stop();

    const restarted = world(state);
    restarted.memory.put(...damagedEntries(domainPolicy(443, 200)));
    restarted.assign(domainPolicy(443, 200));
    await restarted.keeper.start();
    assert.deepEqual(restarted.inForce(), ['Domain 80', 'Dynamic 99'], 'also after a restart');
    restarted.put(domainPolicy(443, 300));
    await restarted.clock.advance(minutes(45));
    assert.deepEqual(restarted.inForce(), ['Domain 443', 'Dynamic 99']);
  });
});

test('failures wait 1, 4, 25 and then 166 minutes', () => {
  assert.deepEqual([0, 1, 4, 25, 166].map(nextRetryMinutes), [1, 4, 25, 166, 166]);
});

test('a copy that cannot be read, and a directory that assigns nothing: the local policy is put in force', async () => {
  const { cache, keeper, inForce, said } = world();
  writeFileSync(cache.path, '{');
  await keeper.start();
  assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
  assert.deepEqual(said(), [5459, 5460]);
  assert.equal(keeper.directory?.state, 'unassigned');
});

test('a local policy that cannot be loaded when the directory assigns none is tried again, not given up', async () => {
  const { keeper, inForce, stored, clock } = world();
  stored.fail = new Error('damaged');
  await keeper.start();
  assert.deepEqual(inForce(), ['Dynamic 99']);
  assert.equal(keeper.error, 'damaged');
  await assert.rejects(keeper.requireSettled(), { code: 'STORE', message: /damaged/ });
  delete stored.fail;
  await clock.advance(minutes(1));
  assert.deepEqual(inForce(), ['Mine 81', 'Dynamic 99']);
  assert.equal(keeper.error, undefined);
  await keeper.requireSettled();
});
