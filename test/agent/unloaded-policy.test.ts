/** What an earlier, killed run left in force stays while the assigned policy cannot be loaded, whatever is asked for. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { callAgent } from '../../src/agent/control/client.js';
import type { ControlMethod, ControlMethods } from '../../src/agent/control/protocol.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import { policyToDocument } from '../../src/policy/document.js';
import { localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';
import { dynamicPolicy, policyOf } from '../policy/support.js';
import { agentInMemory } from '../support/agent-in-memory.js';

const { home, driver, start, stop } = agentInMemory('unloaded');
const store = new LocalStore(localStoreFolder(home));
const policy = policyOf('-w REG -p Closed -r R -f 0+192.0.2.9 -n BLOCK');
before(async () => {
  await store.write(policy);
  await store.assign('Closed');
  writeFileSync(store.path(policy), '{');
  await start();
});
after(stop);

const call = <M extends ControlMethod>(method: M, params: ControlMethods[M]['params']) =>
  callAgent(controlSocketPath(home), method, params);
const dynamic = policyToDocument(dynamicPolicy('-f [0+192.0.2.1]'));
const tunnel = {
  format: 'ipseckit-tunnel',
  version: 1,
  name: 'hq',
  local: '192.0.2.1',
  peer: '203.0.113.1',
  presharedKey: 'k',
};

test('a dynamic rule, the end of all dynamic rules and a tunnel wait until it can', async () => {
  const refused = {
    code: 'STORE',
    message: /the assigned policy cannot be loaded.*nothing else is put in force/,
  };
  await assert.rejects(call('addDynamic', { policy: dynamic }), refused);
  await assert.rejects(call('changeDynamic', { clear: true, policies: [dynamic] }), refused);
  await assert.rejects(call('clearDynamic', {}), refused);
  await assert.rejects(call('tunnelUp', { tunnel, timeoutMs: 1_000 }), refused);
  await assert.rejects(call('tunnelDown', { name: 'hq' }), { code: 'STORE', message: /no tunnel named/ });
  assert.deepEqual(driver.filterChanges, []);
  writeFileSync(store.path(policy), JSON.stringify(policyToDocument(policy)));
  await call('reload', {});
  await call('addDynamic', { policy: dynamic });
  const { dynamicRules, assigned } = await call('status', {});
  assert.deepEqual([dynamicRules, assigned?.name], [1, 'Closed']);
});
