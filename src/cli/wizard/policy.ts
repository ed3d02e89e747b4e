/** The wizards of `policy create` and `policy edit`: they ask, and return the policy that came out. */

import { type BuildContext, defaultKeyExchange } from '../../policy/build.js';
import { type BuiltinName, builtinNames } from '../../policy/builtin.js';
import { describeRule } from '../../policy/describe.js';
import {
  addRule,
  changePolicy,
  editRule,
  type PolicyChanges,
  type RuleChanges,
  removeRule,
} from '../../policy/edit.js';
import type { Policy } from '../../policy/model.js';
import { parseIkeProposals, printIkeProposal } from '../../policy/proposals.js';
import { requireName } from '../../policy/words.js';
import { IpseckitError } from '../../report/errors.js';
import { describeError } from '../errors.js';
import { checkedPolicy } from '../policy-check.js';
import { type Prompts, validating } from './prompts.js';
import { askNewRule, askRuleChanges } from './rule.js';

export interface WizardOptions {
  readonly prompts: Prompts;
  /** Resolves the names and reads the keys of a rule. */
  lookUp(changes: RuleChanges): Promise<BuildContext>;
  /** Something the person should know before the next question. */
  say(text: string): void;
}

/** Offered besides the main mode methods of the old tool. */
const modernProposals = ['aes256-sha256-modp2048', 'aes128-sha256-modp2048', 'aes256-sha384-ecp384'];

/** Asks for the name of a new policy. */
export function askPolicyName(prompts: Prompts): Promise<string> {
  return prompts.input({
    message: 'Name of the policy',
    validate: validating(text => requireName(text, 'name')),
  });
}

/** Asks what a new policy starts from. */
export async function askStart(prompts: Prompts): Promise<BuiltinName | undefined> {
  const start = await prompts.select<BuiltinName | 'empty'>({
    message: 'Start from',
    choices: [
      { name: 'an empty policy', value: 'empty' },
      { name: builtinNames.client, value: 'client' },
      { name: builtinNames.server, value: 'server' },
      { name: builtinNames['secure-server'], value: 'secure-server' },
    ],
    default: 'empty',
  });
  return start === 'empty' ? undefined : start;
}

/** Asks for the settings of a policy, what it has now as presets. */
export async function askSettings(prompts: Prompts, policy: Policy): Promise<PolicyChanges> {
  const { keyExchange } = policy;
  const description = await prompts.input({
    message: 'Description (may be empty)',
    default: policy.description ?? '',
  });
  const number = async (message: string, preset: number, low: number) =>
    Number(
      await prompts.input({
        message,
        default: String(preset),
        validate: text =>
          /^\d{1,9}$/.test(text.trim()) && Number(text) >= low ? true : `give a whole number from ${low}`,
      }),
    );
  const pollIntervalMinutes = await number('Poll interval in minutes', policy.pollIntervalMinutes, 0);
  const present = keyExchange.methods.map(printIkeProposal);
  const offered = [
    ...new Set([...present, ...defaultKeyExchange.methods.map(printIkeProposal), ...modernProposals]),
  ];
  const proposals = await prompts.checkbox({
    message: 'Main mode methods, preferred first',
    choices: offered.map(value => ({ name: value, value, checked: present.includes(value) })),
  });
  const lifetimeSeconds = await number('Main mode lifetime in seconds', keyExchange.lifetimeSeconds, 1);
  const masterKeyPfs = await prompts.confirm({
    message: 'Main mode PFS (a main mode for each quick mode)?',
    default: keyExchange.masterKeyPfs,
  });
  return {
    description,
    pollIntervalMinutes,
    methods: parseIkeProposals(proposals.join(',')),
    lifetimeSeconds,
    masterKeyPfs,
  };
}

/** Asks for settings and rules of a new policy. */
export async function askNewPolicy(options: WizardOptions, start: Policy): Promise<Policy> {
  const { prompts } = options;
  let policy = changePolicy(start, await askSettings(prompts, start));
  while (
    await prompts.confirm({
      message: policy.rules.length === 0 ? 'Add a rule?' : 'Add another rule?',
      default: policy.rules.length === 0,
    })
  )
    policy = await withNewRule(options, policy);
  return policy;
}

/** Lets somebody change a policy until it is done; `undefined` when nothing shall be saved. */
export async function askPolicyChanges(options: WizardOptions, before: Policy): Promise<Policy | undefined> {
  const { prompts } = options;
  let policy = before;
  for (;;) {
    const rules = policy.rules.map((rule, i) => ({ number: `${i + 1}`, name: describeRule(rule, i), rule }));
    const choice = await prompts.select({
      message: `Policy '${policy.name}'`,
      choices: [
        ...rules.map(({ number, name }) => ({ name: `change ${name}`, value: `change ${number}` })),
        { name: 'add a rule', value: 'add' },
        ...rules.map(({ number, name }) => ({ name: `remove ${name}`, value: `remove ${number}` })),
        { name: 'change the settings of the policy', value: 'settings' },
        { name: 'save', value: 'save' },
        { name: 'leave without saving', value: 'leave' },
      ],
    });
    if (choice === 'save') return policy;
    if (choice === 'leave') return undefined;
    const [verb, number = ''] = choice.split(' ');
    const chosen = rules[Number(number) - 1]?.rule;
    if (verb === 'add') policy = await withNewRule(options, policy);
    else if (verb === 'settings') policy = changePolicy(policy, await askSettings(prompts, policy));
    else if (verb === 'remove') policy = removeRule(policy, chosen ?? number);
    else if (chosen !== undefined) {
      const changes = await askRuleChanges(prompts, chosen);
      policy = await trying(options, policy, async () =>
        editRule(policy, chosen, changes, await options.lookUp(changes)),
      );
    }
  }
}

async function withNewRule(options: WizardOptions, policy: Policy): Promise<Policy> {
  const hasDefault = policy.rules.some(rule => rule.filterList === undefined);
  const changes = await askNewRule(options.prompts, !hasDefault);
  return trying(options, policy, async () => addRule(policy, changes, await options.lookUp(changes)));
}

/** A change that fails is said, and the policy stays as it was before it: no answer before that is lost. */
async function trying(
  { say }: WizardOptions,
  policy: Policy,
  change: () => Promise<Policy>,
): Promise<Policy> {
  try {
    const changed = await change();
    checkedPolicy(changed, false);
    return changed;
  } catch (error) {
    if (!(error instanceof IpseckitError)) throw error;
    say(describeError(error).trimEnd());
    return policy;
  }
}
