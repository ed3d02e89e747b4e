import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { PromptAnswers } from '../../../src/agent/agent.js';
import { callAgent, watchAgentKeys } from '../../../src/agent/control/client.js';
import { longestLineBytes } from '../../../src/agent/control/protocol.js';
import { type ControlHandlers, ControlServer } from '../../../src/agent/control/server.js';
import { NegotiationError } from '../../../src/agent/failure.js';
import { Secret } from '../../../src/crypto/secret.js';
import type { ExportedKeys, NegotiationFailure, UserPrompt } from '../../../src/ike/api.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { waitFor } from '../../lab/command.js';
import { staticEnds } from '../../support/static-pair.js';

const failure: NegotiationFailure = {
  mode: 'main',
  local: ipAddress('192.0.2.1'),
  peer: ipAddress('192.0.2.2'),
  point: 'peer',
  reason: 'preshared-keys-differ',
  text: 'the preshared keys most likely differ',
  next: 'compare them',
  windowsCode: 13801,
};

const refuse = () => {
  throw new IpseckitError('UNSUPPORTED', 'not in this test', { next: 'nothing' });
};

const { one } = staticEnds(
  {
    name: 'keys',
    one: failure.local,
    other: failure.peer,
    mode: 'transport',
    esp: { encryption: 'aes128', hash: 'sha1' },
  },
  1,
);
const exported: readonly ExportedKeys[] = [
  {
    kind: 'ike',
    initiatorCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    encryptionKey: new Uint8Array(24).fill(9),
    encryption: '3des',
  },
  { kind: 'sa', pair: one.pair },
];
let watches = 0;
/** More than one line could hold. */
const manyFilters = Array.from({ length: 120_000 }, (_, i) => ({ name: `filter ${i} `.padEnd(300, '.') }));

const prompt: UserPrompt = { id: 'ab12', peer: failure.peer, asks: ['passcode'], text: 'Your token?' };
/** What users said. */
const heard: (string | undefined)[] = [];

const handlers: ControlHandlers = {
  status: refuse,
  filters: () => manyFilters,
  associations: refuse,
  statistics: refuse,
  drops: refuse,
  reload: () => ({ assigned: 'P' }),
  addDynamic: params => ({ rules: JSON.stringify(params).length }),
  changeDynamic: refuse,
  clearDynamic: () => {
    throw new Error('a plain fault');
  },
  plan: refuse,
  watchKeys: async (_params, { onKeys, closed }) => {
    watches++;
    for (const keys of exported) onKeys(keys);
    await new Promise(resolve => closed.addEventListener('abort', resolve, { once: true }));
    watches--;
  },
  tunnelUp: (_params, { onStep }) => {
    onStep({ atMs: 1, peer: failure.peer, direction: 'sent', message: 'main mode 1', detail: 'SA VID' });
    throw new NegotiationError(failure);
  },
  tunnelList: refuse,
  tunnelDown: async (_params, { ask }) => {
    heard.push((await ask(prompt))?.passcode?.reveal());
    throw new NegotiationError(failure);
  },
  stop: refuse,
};

describe('the control socket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-control-'));
  const path = join(folder, 'agent.sock');
  const server = new ControlServer(path, handlers);
  before(() => server.listen());
  after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  /** Sends raw bytes and collects everything until the server closes or is quiet for 100 ms. */
  const raw = (bytes: string) =>
    new Promise<string>(resolve => {
      let answer = '';
      const socket = createConnection(path, () => socket.write(bytes));
      socket.setTimeout(100, () => socket.destroy());
      socket.on('data', chunk => {
        answer += chunk.toString();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(answer));
    });

  test('a list longer than a line comes whole and in order', async () => {
    assert.ok(JSON.stringify(manyFilters).length > longestLineBytes);
    const filters: readonly object[] = await callAgent(path, 'filters', {});
    assert.equal(filters.length, manyFilters.length);
    assert.ok(filters.every((filter, i) => JSON.stringify(filter) === JSON.stringify(manyFilters[i])));
  });

  test('answers a call, and is private to its owner', async () => {
    assert.deepEqual(await callAgent(path, 'reload', {}), { assigned: 'P' });
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('an error keeps its code and next step', async () => {
    await assert.rejects(callAgent(path, 'status', {}), error => {
      assert.ok(error instanceof IpseckitError);
      assert.deepEqual(
        [error.code, error.message, error.next],
        ['UNSUPPORTED', 'not in this test', 'nothing'],
      );
      return true;
    });
    await assert.rejects(callAgent(path, 'clearDynamic', {}), /a plain fault/);
  });

  test('a failed negotiation arrives as data, after its steps', async () => {
    const steps: string[] = [];
    await assert.rejects(
      callAgent(path, 'tunnelUp', { tunnel: {} }, { onStep: step => steps.push(step.message) }),
      error => {
        assert.ok(error instanceof NegotiationError);
        assert.deepEqual(error.failure, failure);
        assert.equal(error.exitCode, 10);
        return true;
      },
    );
    assert.deepEqual(steps, ['main mode 1']);
  });

  test('what the user is asked for is answered through the socket; nobody there is an answer, too', async () => {
    const call = (onPrompt?: (asked: UserPrompt) => Promise<PromptAnswers | undefined>) =>
      callAgent(path, 'tunnelDown', { name: 'x' }, onPrompt === undefined ? {} : { onPrompt });
    const asked: UserPrompt[] = [];
    const answered = call(async question => {
      asked.push(question);
      return { passcode: new Secret('123456') };
    });
    await assert.rejects(answered, NegotiationError);
    assert.deepEqual(asked, [prompt]);
    await assert.rejects(
      call(async () => undefined),
      NegotiationError,
    );
    await assert.rejects(call(), NegotiationError);
    // A client that goes away, and one that answers in its own way.
    const request = '{"id":1,"method":"tunnelDown","params":{}}\n';
    await raw(request);
    await waitFor('the answers', () => heard.length === 4);
    await raw(`${request}{"prompt":"other","answers":{}}\n{"prompt":"ab12","answers":{"passcode":7}}\n`);
    assert.deepEqual(heard, ['123456', undefined, undefined, undefined, undefined]);
  });

  test('keys arrive as they are until the client has enough', async () => {
    const received: ExportedKeys[] = [];
    const watch = await watchAgentKeys(path, {
      onKeys: keys => received.push(keys),
      onEnd: () => assert.fail('an end'),
    });
    await waitFor('the keys', async () => received.length === exported.length);
    assert.deepEqual(received, exported);
    assert.equal(watches, 1);
    watch.close();
    await waitFor('the agent to stop sending keys', async () => watches === 0);
    const nowhere = watchAgentKeys(`${path}.not`, {
      onKeys: () => assert.fail('keys'),
      onEnd: () => assert.fail('an end'),
    });
    await assert.rejects(nowhere, { code: 'AGENT_UNREACHABLE' });
  });

  test('bad input gets an error reply and a closed connection, and the server goes on', async () => {
    for (const bad of ['garbage\n', '[]\n', 'null\n', '{"id":"x","method":"status"}\n', '{"id":1}\n'])
      assert.match(await raw(bad), /"code":"USAGE"/, bad);
    assert.match(await raw('{"id":1,"method":"__proto__"}\n'), /no such method/);
    assert.match(await raw('{"id":1,"method":"constructor"}\n'), /no such method/);
    assert.match(await raw('x'.repeat(longestLineBytes + 1)), /over/);
    assert.equal(await raw('{"id":1,"method":'), '', 'half a request is no request');
    assert.deepEqual(await callAgent(path, 'reload', {}), { assigned: 'P' });
  });

  test('several requests in one write are all answered', async () => {
    const answer = await raw('{"id":1,"method":"reload"}\n{"id":2,"method":"addDynamic"}\n');
    assert.deepEqual(
      answer
        .trim()
        .split('\n')
        .map(line => JSON.parse(line).id)
        .sort(),
      [1, 2],
    );
  });

  test('a second agent on the same socket is refused', async () => {
    await assert.rejects(new ControlServer(path, handlers).listen(), error => {
      assert.ok(error instanceof IpseckitError && error.code === 'CONFLICT');
      return true;
    });
  });

  test('no agent is AGENT_UNREACHABLE, exit code 4', async () => {
    await assert.rejects(callAgent(join(folder, 'none.sock'), 'status', {}), error => {
      assert.ok(error instanceof IpseckitError);
      assert.equal(error.exitCode, 4);
      assert.match(error.next ?? '', /agent start/);
      return true;
    });
  });
});
