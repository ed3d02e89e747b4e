import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { callAgent } from '../../src/agent/control/client.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import { policyToDocument } from '../../src/policy/document.js';
import { dynamicPolicy } from '../policy/support.js';
import { agentInMemory } from '../support/agent-in-memory.js';

const { home, start, stop } = agentInMemory('dynamic');
before(start);
after(stop);

const documents = (...specs: string[]) => specs.map(spec => policyToDocument(dynamicPolicy(`-f ${spec}`)));
const change = (clear: boolean, policies: readonly unknown[]) =>
  callAgent(controlSocketPath(home), 'changeDynamic', { clear, policies });
const dynamicRules = async () => (await callAgent(controlSocketPath(home), 'status', {})).dynamicRules;

test('dynamic rules are cleared and added in one step, or not at all', async () => {
  assert.deepEqual(await change(false, documents('[0+192.0.2.1]', '(0+192.0.2.2) [0+192.0.2.3]')), {
    removed: 0,
    rules: 3,
  });
  assert.deepEqual(await change(true, documents('[0+192.0.2.4]')), { removed: 3, rules: 1 });
  assert.deepEqual(await change(false, documents('[0+192.0.2.5]')), { removed: 0, rules: 1 });
  assert.equal(await dynamicRules(), 2);
  await assert.rejects(change(true, [...documents('[0+192.0.2.6]'), { format: 'another' }]), {
    code: 'USAGE',
    message: /^not a policy/,
  });
  assert.equal(await dynamicRules(), 2, 'one bad policy, and nothing is cleared or added');
  assert.deepEqual(await change(true, []), { removed: 2, rules: 0 });
});
