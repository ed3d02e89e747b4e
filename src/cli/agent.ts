import { type CallOptions, callAgent } from '../agent/control/client.js';
import type { ControlMethod, ControlMethods } from '../agent/control/protocol.js';
import { controlSocketPath } from '../agent/paths.js';
import { ipseckitHome } from '../policy/stores/home.js';
import { IpseckitError } from '../report/errors.js';

/** Calls the agent of this home (`IPSECKIT_HOME`). Throws `IpseckitError`: AGENT_UNREACHABLE when none runs. */
export function agentCall<M extends ControlMethod>(
  method: M,
  params: ControlMethods[M]['params'],
  options: CallOptions = {},
): Promise<ControlMethods[M]['result']> {
  return callAgent(controlSocketPath(ipseckitHome()), method, params, options);
}

/** Like `agentCall`, but `undefined` when no agent runs. */
export async function agentCallIfRunning<M extends ControlMethod>(
  method: M,
  params: ControlMethods[M]['params'],
): Promise<ControlMethods[M]['result'] | undefined> {
  try {
    return await agentCall(method, params);
  } catch (error) {
    if (error instanceof IpseckitError && error.code === 'AGENT_UNREACHABLE') return undefined;
    throw error;
  }
}
