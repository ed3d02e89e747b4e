import { Args } from '@oclif/core';
import { IpseckitError } from '../report/errors.js';
import { IpseckitCommand } from './base.js';
import { describeLines, type EditedPolicy } from './policy-edit.js';
import { canAsk, WizardLeft } from './wizard/prompts.js';

/** Arguments of commands about one rule. */
export const ruleArguments = {
  policy: Args.string({ required: true, description: 'the policy, in any case' }),
  rule: Args.string({ required: true, description: 'the rule: its name, its number, or "default"' }),
};

/** A command that changes a stored policy and says how `ipsecpol` would have done it. */
export abstract class PolicyEditCommand extends IpseckitCommand<EditedPolicy | undefined> {
  /** Prints what happened, notes on stderr. */
  protected report(edited: EditedPolicy, text: string): EditedPolicy {
    for (const note of edited.notes) this.logToStderr(note);
    if (edited.assigned && !edited.inForce)
      this.logToStderr(
        'note: the policy agent is not running; the policy takes effect with "ipseckit agent start"',
      );
    this.print(text, ...describeLines(edited));
    return edited;
  }

  /** Whether questions may be asked: there is a terminal, and nobody waits for JSON. */
  protected get interactive(): boolean {
    return canAsk() && !this.jsonEnabled();
  }

  /** Runs a wizard; leaving it changes nothing. */
  protected async asking(wizard: () => Promise<EditedPolicy | undefined>): Promise<EditedPolicy | undefined> {
    try {
      const edited = await wizard();
      if (edited === undefined) this.print('Nothing was changed.');
      return edited;
    } catch (error) {
      if (!(error instanceof WizardLeft)) throw error;
      this.print('Nothing was changed.');
      return undefined;
    }
  }
}

/** The error of a command that has nobody to ask and is missing something. */
export function missing(what: string, next: string): IpseckitError {
  return new IpseckitError('USAGE', `${what} is missing, and there is no terminal to ask on`, { next });
}
