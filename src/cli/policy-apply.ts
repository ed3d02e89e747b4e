/** `policy apply`: a policy stored, assigned and in force. */
import { isEmptyPlan, type PolicyPlan } from '../agent/plan.js';
import { emptyLibrary, policyToDocument } from '../policy/document.js';
import { planImport } from '../policy/import.js';
import type { Policy } from '../policy/model.js';
import type { StoreSnapshot } from '../policy/stores/store.js';
import { agentCall, agentCallIfRunning } from './agent.js';
import { localStore } from './local-store.js';

export interface PolicyApplication {
  readonly policy: string;
  /** Whether the store, the assignment or what the agent enforces is another than before. */
  readonly changed: boolean;
  /** What the agent changed; absent when none runs. */
  readonly plan?: PolicyPlan;
}

const timeoutMs = 60_000;

/** Stores (if it reads differently) and assigns a policy, and waits until a running agent has it in force. */
export async function applyPolicy(policy: Policy): Promise<PolicyApplication> {
  const plan = await planIfRunning(policy);
  const stored = await localStore().exclusively(async store => {
    const snapshot = await store.snapshot();
    if (isInPlace(snapshot, policy)) return false;
    const collection = { policies: [policy], assigned: policy.id, library: emptyLibrary };
    const { change } = planImport(collection, snapshot, { assign: true, replace: true });
    store.stage(change).commit();
    return true;
  });
  const changed = stored || (plan !== undefined && !isEmptyPlan(plan));
  if (plan !== undefined && changed) await agentCall('reload', {}, { timeoutMs });
  return { policy: policy.name, changed, ...(plan === undefined ? {} : { plan }) };
}

async function planIfRunning(policy: Policy): Promise<PolicyPlan | undefined> {
  if ((await agentCallIfRunning('status', {})) === undefined) return undefined;
  return agentCall('plan', { policy: policyToDocument(policy) }, { timeoutMs });
}

function isInPlace({ policies, assigned }: StoreSnapshot, policy: Policy): boolean {
  const stored = policies.find(({ id }) => id === policy.id);
  return (
    assigned === policy.id &&
    stored !== undefined &&
    JSON.stringify(policyToDocument(stored)) === JSON.stringify(policyToDocument(policy))
  );
}
