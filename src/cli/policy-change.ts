import { Args } from '@oclif/core';
import type { PolicyStore } from '../policy/stores/store.js';
import { agentCallIfRunning } from './agent.js';
import { IpseckitCommand } from './base.js';

/** The one argument of commands about a policy. */
export const policyArgument = {
  name: Args.string({ required: true, description: 'the policy, in any case' }),
};

/** What a command did to a stored policy. */
export interface PolicyChange {
  readonly policy: string;
  /** False when it already was so. */
  readonly changed: boolean;
  /** Whether a running agent has taken the change up. */
  readonly inForce: boolean;
}

/** A command that changes one policy of a store, and lets the agent know where it is the one it enforces. */
export abstract class PolicyChangeCommand extends IpseckitCommand<PolicyChange> {
  /** Tells a running agent and prints what happened. */
  protected async report(
    store: PolicyStore,
    policy: string,
    changed: boolean,
    text: string,
  ): Promise<PolicyChange> {
    if (store.kind !== 'local') {
      this.print(text);
      return { policy, changed, inForce: false };
    }
    const inForce = (await agentCallIfRunning('reload', {})) !== undefined;
    this.print(text);
    if (!inForce) this.logToStderr('note: the policy agent is not running');
    return { policy, changed, inForce };
  }
}
