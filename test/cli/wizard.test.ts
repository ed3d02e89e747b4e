/** The wizards, answered from a list: the questions, in order, are the golden part. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createByAsking, editByAsking } from '../../src/cli/policy-create.js';
import { type Prompts, WizardLeft } from '../../src/cli/wizard/prompts.js';
import { printPolicy } from '../../src/policy/print-policy.js';
import { ipseckitHome, localStoreFolder } from '../../src/policy/stores/home.js';
import { LocalStore } from '../../src/policy/stores/local.js';
import { IpseckitError } from '../../src/report/errors.js';
import { policyOf } from '../policy/support.js';

let home = '';
const homeBefore = process.env.IPSECKIT_HOME;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'ipseckit-wizard-'));
  process.env.IPSECKIT_HOME = home;
  writeFileSync(join(home, 'key'), 'geheim\n', { mode: 0o600 });
});
afterEach(() => {
  rmSync(home, { recursive: true });
  if (homeBefore === undefined) delete process.env.IPSECKIT_HOME;
  else process.env.IPSECKIT_HOME = homeBefore;
});

const store = () => new LocalStore(localStoreFolder(ipseckitHome()));

/** What somebody answers: what is expected to be asked (its beginning), and the answer; no answer takes the preset. */
type Script = readonly (readonly [question: string, answer?: string | boolean | readonly string[]])[];

/** Asks a list. An answer a question refuses is noted in `refusals`, and the next answer is for the same question. */
class ScriptedPrompts implements Prompts {
  readonly refusals: string[] = [];
  readonly #script: [string, (string | boolean | readonly string[])?][];

  constructor(script: Script) {
    this.#script = script.map(([question, answer]) =>
      answer === undefined ? [question] : [question, answer],
    );
  }

  finish(): void {
    assert.deepEqual(this.#script, [], 'everything was asked');
  }

  #next<T>(message: string, preset: T | undefined): unknown {
    const [expected, answer] = this.#script.shift() ?? assert.fail(`nobody answers '${message}'`);
    assert.ok(message.startsWith(expected), `asked '${message}', expected '${expected}'`);
    if (answer === '^C') throw new WizardLeft();
    return answer ?? preset;
  }

  async input(question: Parameters<Prompts['input']>[0]): Promise<string> {
    for (;;) {
      const answer = String(this.#next(question.message, question.default));
      const verdict = question.validate?.(answer) ?? true;
      if (verdict === true) return answer;
      this.refusals.push(verdict);
    }
  }

  password(question: Parameters<Prompts['password']>[0]): Promise<string> {
    return this.input(question);
  }

  async confirm(question: Parameters<Prompts['confirm']>[0]): Promise<boolean> {
    const answer = this.#next(question.message, question.default);
    assert.ok(typeof answer === 'boolean', question.message);
    return answer;
  }

  async select<T extends string>(question: {
    message: string;
    choices: readonly { readonly name: string; readonly value: T }[];
    default?: T;
  }): Promise<T> {
    const answer = this.#next(question.message, question.default ?? question.choices[0]?.value);
    const chosen = question.choices.find(({ value }) => value === answer);
    return chosen?.value ?? assert.fail(`${question.message}: no choice ${answer}`);
  }

  async checkbox(question: Parameters<Prompts['checkbox']>[0]): Promise<readonly string[]> {
    const preset = question.choices.filter(({ checked }) => checked).map(({ value }) => value);
    const answer = this.#next(question.message, preset);
    assert.ok(Array.isArray(answer));
    const wanted = new Set<unknown>(answer);
    return question.choices.map(({ value }) => value).filter(value => wanted.has(value));
  }
}

const said: string[] = [];
const say = (text: string) => said.push(text);
beforeEach(() => {
  said.length = 0;
});

const settings: Script = [
  ['Description'],
  ['Poll interval'],
  ['Main mode methods'],
  ['Main mode lifetime'],
  ['Main mode PFS'],
];
const peerRule = (address: string): Script => [
  ['What kind of rule?', 'traffic'],
  ['Name of the rule', 'Peer'],
  ['Source address'],
  ['Destination address', address],
  ['Protocol', 'tcp'],
  ['Source port'],
  ['Destination port', '443'],
  ['The other direction too?'],
  ['Another filter?'],
  ['What happens to the traffic?', 'request'],
  ['Security methods', ['ESP[3DES,SHA]', 'ESP[AES128,SHA256]']],
  ['Session-key PFS', 'modp2048'],
  ['Extended sequence numbers'],
  ['Send in clear'],
  ['How do the peers authenticate', 'file'],
  ['File', join('HOME', 'key')],
  ['Another way', true],
  ['How do the peers authenticate', 'certificate'],
  ['Name of the certificate authority', 'C=US, O=X'],
  ['Another way', false],
  ['On which adapters?', 'lan'],
];
const inHome = (script: Script): Script =>
  script.map(([question, answer]) => {
    if (answer === undefined) return [question];
    return [question, typeof answer === 'string' ? answer.replace('HOME', home) : answer];
  });

describe('policy create', () => {
  test('an empty policy with one rule, from the first question to the line', async () => {
    const prompts = new ScriptedPrompts(
      inHome([
        ['Start from'],
        ['Name of the policy', ''],
        ['Name of the policy', 'Lab'],
        ['Description', 'The lab'],
        ['Poll interval', 'often'],
        ['Poll interval', '60'],
        ['Main mode methods', ['3des-sha1-modp1024', 'aes256-sha256-modp2048']],
        ['Main mode lifetime', '3600'],
        ['Main mode PFS'],
        ['Add a rule?'],
        ...peerRule('192.0.2.20'),
        ['Add another rule?'],
        ['Assign the policy now?', true],
      ]),
    );
    const edited = await createByAsking(prompts, {}, say);
    prompts.finish();
    assert.deepEqual(prompts.refusals, [
      "name '': a name has at least one character",
      'give a whole number from 0',
    ]);
    const policy = await store().read('Lab');
    assert.ok(policy);
    assert.deepEqual(printPolicy(policy, edited.assigned), [
      "Policy 'Lab' (assigned)",
      `    Id               ${policy.id}`,
      '    Description      The lab',
      '    Poll interval    60 minutes',
      '    Main mode        3DES-SHA-2 AES256-SHA256-14',
      '    Main mode rekey  unlimited quick modes / 3600 seconds, PFS No',
      '',
      "Rule 'Peer'",
      '    Filters          0+192.0.2.20:443:TCP',
      '    Action           negotiate, accept clear text inbound, fall back to clear text without an answer',
      '    Methods          ESP[3DES,SHA]PFS14',
      '                     ESP[AES128,SHA256]PFS14',
      '    Authentication   PRESHARE (key not shown)',
      '                     CERT:"C=US, O=X"',
      '    Connections      LAN adapters',
    ]);
    assert.deepEqual(edited.lines, [
      `ipsecpol -w REG -p Lab:60 -r Peer -f 0+192.0.2.20:443:TCP -n 'ESP[3DES,SHA]PFS14' 'ESP[AES128,SHA256]PFS14' INPASS -a 'PRESHARE-FILE:"${home}/key"' 'CERT:"C=US, O=X"' -soft -lan -1s 3DES-SHA-2 AES256-SHA256-14 -1k 3600S -x`,
    ]);
  });

  test('a built-in policy, a tunnel, a typed key', async () => {
    const tunnel = (name: string, source: string, destination: string, end: string): Script => [
      ['What kind of rule?', 'tunnel'],
      ['Name of the rule', name],
      ['Tunnel endpoint', 'not a host'],
      ['Tunnel endpoint', end],
      ['Source address', source],
      ['Destination address', destination],
      ['Protocol'],
      ['Another filter?'],
      ['Security methods', ['ESP[AES256-GCM]']],
      ['Session-key PFS'],
      ['Extended sequence numbers'],
      ['How do the peers authenticate', 'key'],
      ['Key', ''],
      ['Key', 'geheim'],
      ['Another way'],
      ['On which adapters?'],
    ];
    const prompts = new ScriptedPrompts([
      ['Start from', 'client'],
      ...settings,
      ['Add another rule?', true],
      ...tunnel('Out', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.1'),
      ['Add another rule?', true],
      ...tunnel('In', '198.51.100.0/24', '192.0.2.0/24', '192.0.2.1'),
      ['Add another rule?'],
      ['Assign the policy now?'],
    ]);
    const edited = await createByAsking(prompts, {}, say);
    prompts.finish();
    assert.equal(edited.policy, 'Client (Respond Only)');
    assert.equal(edited.assigned, false);
    assert.deepEqual(prompts.refusals.length, 4);
    assert.deepEqual(
      edited.lines.slice(1),
      [
        `-r Out -f 192.0.2.0/255.255.255.0=198.51.100.0/255.255.255.0 -n 'ESP[AES256-GCM]' -t 203.0.113.1`,
        `-r In -f 198.51.100.0/255.255.255.0=192.0.2.0/255.255.255.0 -n 'ESP[AES256-GCM]' -t 192.0.2.1`,
      ].map(line => `ipsecpol -w REG -p 'Client (Respond Only)' ${line} -a 'PRESHARE:"…"'`),
    );
    assert.ok(!JSON.stringify(edited).includes('geheim'));
  });

  test('a rule that cannot be made is said, and nothing answered before is lost', async () => {
    const prompts = new ScriptedPrompts(
      inHome([
        ['Start from', 'empty'],
        ...settings,
        ['Add a rule?'],
        ...peerRule('no-such-host.invalid'),
        ['Add a rule?'],
        ...peerRule('192.0.2.1'),
        ['Add another rule?', true],
        ...peerRule('192.0.2.2'),
        ['Add another rule?'],
        ['Assign the policy now?'],
      ]),
    );
    const edited = await createByAsking(prompts, { name: 'Lab' }, say);
    prompts.finish();
    assert.equal(edited.rules, 1);
    assert.match(said[0] ?? '', /^error: cannot resolve 'no-such-host\.invalid'.*\nnext: /);
    assert.match(said[1] ?? '', /^error: policy 'Lab' has a rule 'Peer' already/);
  });

  test('Ctrl-C at any question leaves nothing', async () => {
    const whole = inHome([
      ['Start from'],
      ['Name of the policy', 'Lab'],
      ...settings,
      ['Add a rule?'],
      ...peerRule('192.0.2.20'),
      ['Add another rule?'],
      ['Assign the policy now?'],
    ]);
    for (let at = 0; at < whole.length; at++) {
      const script: Script = whole.map(([question, answer], i) =>
        i === at ? [question, '^C'] : answer === undefined ? [question] : [question, answer],
      );
      await assert.rejects(createByAsking(new ScriptedPrompts(script), {}, say), WizardLeft);
    }
    assert.deepEqual((await store().list()).policies, []);
  });
});

describe('policy edit', () => {
  const lab = policyOf(
    '-w REG -p Lab -r A -f 0+192.0.2.1 -n BLOCK',
    '-w REG -p Lab -r B -f 0+192.0.2.2 -n PASS',
  );
  beforeEach(() => store().write(lab));

  test('change a rule, remove one, add none, save', async () => {
    const prompts = new ScriptedPrompts([
      ["Policy 'Lab'", 'change 1'],
      ['Change what?', 'action'],
      ['What happens to the traffic?', 'permit'],
      ["Policy 'Lab'", 'remove 2'],
      ["Policy 'Lab'", 'change 1'],
      ['Change what?', 'name'],
      ['Name of the rule', 'C'],
      ["Policy 'Lab'", 'save'],
    ]);
    const edited = await editByAsking(prompts, 'lab', say);
    prompts.finish();
    assert.deepEqual(edited?.lines, [
      'ipsecpol -w REG -p Lab -y -o',
      'ipsecpol -w REG -p Lab -r C -f 0+192.0.2.1 -n PASS',
    ]);
    assert.equal((await store().read('Lab'))?.id, lab.id, 'it is the same policy all the same');
  });

  test('leaving without saving changes nothing', async () => {
    const prompts = new ScriptedPrompts([
      ["Policy 'Lab'", 'remove 1'],
      ["Policy 'Lab'", 'leave'],
    ]);
    assert.equal(await editByAsking(prompts, 'Lab', say), undefined);
    assert.deepEqual(await store().read('Lab'), lab);
  });

  test('somebody else was faster: nothing is overwritten, and the answers come back as lines', async () => {
    const theirs = policyOf('-w REG -p Lab -r Theirs -f 0+192.0.2.9 -n BLOCK');
    const prompts = new ScriptedPrompts([
      ["Policy 'Lab'", 'change 2'],
      ['Change what?', 'action'],
      ['What happens to the traffic?', 'block'],
      ["Policy 'Lab'", 'save'],
    ]);
    const select = prompts.select.bind(prompts);
    const slow: Prompts = Object.assign(prompts, {
      select: async <T extends string>(question: Parameters<typeof select<T>>[0]) => {
        await store().write({ ...theirs, id: lab.id });
        return select(question);
      },
    });
    await assert.rejects(editByAsking(slow, 'Lab', say), (error: unknown) => {
      assert.ok(error instanceof IpseckitError);
      assert.equal(error.code, 'CONFLICT');
      assert.match(
        error.message,
        /^policy 'Lab' was changed by somebody else meanwhile, and nothing was written; with ipsecpol your change is\n {2}ipsecpol -w REG -p Lab -r B -f 0\+192\.0\.2\.2 -n BLOCK$/,
      );
      return true;
    });
    assert.deepEqual((await store().read('Lab'))?.rules[0]?.name, 'Theirs');
  });
});
