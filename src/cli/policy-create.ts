import { newPolicy } from '../policy/build.js';
import { type BuiltinName, builtinPolicies } from '../policy/builtin.js';
import type { RuleChanges } from '../policy/edit.js';
import type { Policy } from '../policy/model.js';
import { requireName } from '../policy/words.js';
import { LookUps } from './build-context.js';
import { localStore } from './local-store.js';
import { type EditedPolicy, editPolicy, RuleLookUps, readPolicy } from './policy-edit.js';
import { askNewPolicy, askPolicyChanges, askPolicyName, askStart } from './wizard/policy.js';
import type { Prompts } from './wizard/prompts.js';

/** What a new policy is before anything is changed in it; a built-in one keeps its name unless another is given. */
export function startOf(name: string | undefined, builtin: BuiltinName | undefined): Policy {
  const { newGuid } = new LookUps();
  if (builtin === undefined) return newPolicy(requireName(name ?? '', 'name'), newGuid());
  const policy = builtinPolicies(newGuid)[builtin];
  return name === undefined ? policy : { ...policy, name: requireName(name, 'name') };
}

/** The wizard of `policy create`. */
export async function createByAsking(
  prompts: Prompts,
  given: { readonly name?: string | undefined; readonly builtin?: BuiltinName | undefined },
  say: (text: string) => void,
): Promise<EditedPolicy> {
  const store = localStore();
  const builtin = given.builtin ?? (await askStart(prompts));
  const name = given.name ?? (builtin === undefined ? await askPolicyName(prompts) : undefined);
  const lookUps = new RuleLookUps();
  const lookUp = (changes: RuleChanges) => lookUps.for(changes);
  const policy = await askNewPolicy({ prompts, lookUp, say }, startOf(name, builtin));
  const assign = await prompts.confirm({ message: 'Assign the policy now?', default: false });
  return editPolicy({ store, create: policy, assign, keys: lookUps.keys });
}

/** The wizard of `policy edit`; `undefined` when the person left without saving. */
export async function editByAsking(
  prompts: Prompts,
  name: string,
  say: (text: string) => void,
): Promise<EditedPolicy | undefined> {
  const store = localStore();
  const seen = await readPolicy(store, name);
  const lookUps = new RuleLookUps();
  const lookUp = (changes: RuleChanges) => lookUps.for(changes);
  const policy = await askPolicyChanges({ prompts, lookUp, say }, seen);
  if (policy === undefined) return undefined;
  return editPolicy({ store, name, seen, keys: lookUps.keys, change: () => policy });
}
