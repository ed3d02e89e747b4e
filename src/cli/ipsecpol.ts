/**
 * `ipsecpol` from its argument list to its exit code. Start-up time counts here: whatever only some command lines
 * need is imported when it is needed.
 */
import { applyToPolicy, type BuildContext, buildDynamicPolicy, policyNotFound } from '../policy/build.js';
import { policyToDocument } from '../policy/document.js';
import { changesPolicy, type DynamicCommand, type StaticCommand } from '../policy/ipsecpol/command.js';
import { parseIpsecpol } from '../policy/ipsecpol/parse.js';
import type { Policy } from '../policy/model.js';
import type { PolicyStore } from '../policy/stores/store.js';
import { IpseckitError } from '../report/errors.js';
import { forTerminal } from '../report/terminal.js';
import { agentCall, agentCallIfRunning } from './agent.js';
import { buildContextFor } from './build-context.js';
import { asIpseckitError, describeError } from './errors.js';
import { localStore } from './local-store.js';
import { guardOutput } from './output.js';
import { checkedPolicy } from './policy-check.js';
import { requireLocalStore, requireThisComputer } from './this-computer.js';

/** What was done. */
export interface IpsecpolResult {
  /** For stdout. */
  readonly text: string;
  /** What the user should know besides, for stderr. */
  readonly notes: readonly string[];

  /** Of `-file`: how many commands there were, and the policies they changed. */
  readonly commands?: number;
  readonly policies?: readonly { readonly id: string; readonly name: string; readonly rules: number }[];
  /** The policy named by -p, when it is there afterwards. */
  readonly policy?: { readonly id: string; readonly name: string; readonly rules: number };
  readonly dynamicRulesAdded?: number;
  readonly dynamicRulesRemoved?: number;
}

/** Printed after every success; scripts look for it. */
const success = 'The command completed successfully.';
const nothingChanged = 'Nothing was changed.';

/** Runs one command line and prints; resolves to the exit code. */
export async function ipsecpolMain(argv: readonly string[]): Promise<number> {
  guardOutput();
  try {
    const { text, notes } = await runIpsecpol(argv);
    process.stderr.write(forTerminal(notes.map(note => `${note}\n`).join('')));
    process.stdout.write(`${text}\n`);
    return 0;
  } catch (error) {
    const known = asIpseckitError(error);
    process.stderr.write(describeError(known));
    return known.exitCode;
  }
}

/** Does what one command line says. Throws `IpseckitError`. */
export async function runIpsecpol(argv: readonly string[]): Promise<IpsecpolResult> {
  const request = parseIpsecpol(argv);
  if (request.kind === 'help') {
    const { extendedUsage, shortUsage } = await import('../policy/ipsecpol/usage.js');
    return { text: request.detail === 'short' ? shortUsage() : extendedUsage(), notes: [] };
  }
  requireThisComputer(request.host);
  if (request.kind === 'file') return runFile(request.path);
  return request.kind === 'dynamic' ? runDynamic(request) : runStatic(request);
}

async function runFile(path: string): Promise<IpsecpolResult> {
  const { runScript } = await import('./ipsecpol-script.js');
  const result = await runScript(path, confirmed);
  if (result === undefined) return { text: nothingChanged, notes: [] };
  return { text: success, ...result };
}

async function runDynamic(command: DynamicCommand): Promise<IpsecpolResult> {
  if (command.confirm && !(await confirmed())) return { text: nothingChanged, notes: [] };
  const policy =
    command.filters.length === 0 ? undefined : buildDynamicPolicy(command, await buildContextFor(command));
  const notes = policy === undefined ? [] : checkedPolicy(policy, true);
  // One step: rules that are deleted do not stay deleted because the new ones are refused.
  const { removed, rules } = await agentCall('changeDynamic', {
    clear: command.deleteDynamic,
    policies: policy === undefined ? [] : [policyToDocument(policy)],
  });
  return {
    text: success,
    notes,
    ...(command.deleteDynamic ? { dynamicRulesRemoved: removed } : {}),
    ...(policy === undefined ? {} : { dynamicRulesAdded: rules }),
  };
}

async function runStatic(command: StaticCommand): Promise<IpsecpolResult> {
  requireLocalStore(command.store.kind);
  const context = await buildContextFor(command);
  const { notes, policy, removed } = await localStore().exclusively(store =>
    changeStored(store, command, context),
  );
  // The agent watches the store; asking makes the change hold when the command returns.
  const agent = await agentCallIfRunning('reload', {});
  const waiting =
    agent === undefined && command.assign
      ? ['note: the policy agent is not running; the policy takes effect with "ipseckit agent start"']
      : [];
  return {
    text: success,
    notes: [...notes, ...waiting],
    ...(policy === undefined ? {} : { policy: summary(policy) }),
    ...(removed === undefined ? {} : { dynamicRulesRemoved: removed }),
  };
}

/** Dynamic rules (-u) go only when everything else is in order. */
async function changeStored(
  store: PolicyStore,
  command: StaticCommand,
  context: BuildContext,
): Promise<{ readonly notes: readonly string[]; readonly policy?: Policy; readonly removed?: number }> {
  const clear = async () => (command.deleteDynamic ? agentCall('clearDynamic', {}) : {});
  const current = await store.read(command.policyName);
  if (current === undefined && (command.unassign || command.delete) && !changesPolicy(command))
    return {
      notes: [`note: policy '${command.policyName}' is not there, nothing to do`],
      ...(await clear()),
    };
  const policy = applyToPolicy(current, command, context);
  const notes = command.delete || command.unassign ? [] : checkedPolicy(policy, command.assign);
  const cleared = await clear();
  if (changesPolicy(command)) await store.write(policy);
  await changeAssignment(store, command);
  return { notes, ...(command.delete ? {} : { policy }), ...cleared };
}

async function changeAssignment(store: PolicyStore, command: StaticCommand): Promise<void> {
  if (command.assign) await store.assign(command.policyName);
  if (command.unassign) await store.unassign(command.policyName);
  if (command.delete && !(await store.delete(command.policyName))) throw policyNotFound(command.policyName);
}

function summary({ id, name, rules }: Policy) {
  return { id, name, rules: rules.length };
}

async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY)
    throw new IpseckitError('ENVIRONMENT', '-confirm asks on the terminal, and there is none', {
      next: 'leave -confirm out in scripts',
    });
  const { default: inquirer } = await import('inquirer');
  try {
    const answer = await inquirer.prompt([
      { type: 'confirm', name: 'go', message: 'Change the dynamic rules of this computer?', default: false },
    ]);
    return answer.go === true;
  } catch (error) {
    // Ctrl-C at the question is a no.
    if (error instanceof Error && error.name === 'ExitPromptError') return false;
    throw error;
  }
}
