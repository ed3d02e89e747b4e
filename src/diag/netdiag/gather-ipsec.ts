/** Asks the agent and the store what the IP Security test needs to know. */
import { existsSync } from 'node:fs';
import { callAgent } from '../../agent/control/client.js';
import type { AgentStatus } from '../../agent/control/protocol.js';
import { controlSocketPath } from '../../agent/paths.js';
import { type Home, localStoreFolder } from '../../policy/stores/home.js';
import { LocalStore } from '../../policy/stores/local.js';
import { IpseckitError } from '../../report/errors.js';
import type { IpsecTestInput } from './ipsec-input.js';

type PolicyInStore = { readonly policy?: NonNullable<IpsecTestInput['policy']>; readonly problem?: string };

export async function gatherIpsec(home: Home): Promise<IpsecTestInput> {
  const socket = controlSocketPath(home);
  const stored = await assignedInStore(home);
  try {
    const [status, filters, associations, statistics] = await Promise.all([
      callAgent(socket, 'status', {}),
      callAgent(socket, 'filters', {}, { timeoutMs: 60_000 }),
      callAgent(socket, 'associations', {}),
      callAgent(socket, 'statistics', {}),
    ]);
    const problem = status.policyError ?? stored.problem;
    return {
      nowMs: Date.now(),
      agent: { state: 'running' },
      ...(status.assigned === undefined ? {} : { policy: status.assigned }),
      ...(status.overridden === undefined ? {} : { overridden: status.overridden }),
      ...(status.directory === undefined ? {} : { directory: status.directory }),
      ...(problem === undefined ? {} : { policyProblem: problem }),
      disagreements: problem === undefined ? disagreements(status, stored) : [],
      ...(status.keyExchange === undefined ? {} : { keyExchange: status.keyExchange }),
      noDefaultExempt: status.noDefaultExempt,
      filters,
      mainModes: associations.mainModes,
      quickModes: associations.quickModes,
      pairs: associations.pairs,
      softAssociations: associations.softAssociations,
      statistics,
    };
  } catch (error) {
    if (!(error instanceof IpseckitError)) throw error;
    const stopped = error.code === 'AGENT_UNREACHABLE' && !existsSync(socket);
    return {
      nowMs: Date.now(),
      agent: stopped ? { state: 'stopped' } : { state: 'unreachable', message: error.message },
      ...(stored.policy === undefined ? {} : { policy: stored.policy }),
      disagreements: [],
      filters: [],
      mainModes: [],
      quickModes: [],
      pairs: [],
    };
  }
}

async function assignedInStore(home: Home): Promise<PolicyInStore> {
  const store = new LocalStore(localStoreFolder(home));
  try {
    const policy = await store.assigned();
    if (policy === undefined) return {};
    return { policy: { kind: 'local', id: policy.id, name: policy.name, path: store.path(policy) } };
  } catch (error) {
    if (!(error instanceof IpseckitError)) throw error;
    return { problem: error.message };
  }
}

/** The local store has no say while a directory's policy is in force. */
function disagreements({ assigned: enforced }: AgentStatus, { policy }: PolicyInStore): string[] {
  const enforcedId = enforced?.id;
  if (enforcedId === policy?.id || enforced?.kind === 'directory') return [];
  const inForce = enforcedId === undefined ? 'no policy' : `the policy ${enforcedId}`;
  const assigned = policy === undefined ? 'none is assigned' : `'${policy.name}' is assigned`;
  return [`The IPSec Policy Agent enforces ${inForce}, but ${assigned}.`];
}
