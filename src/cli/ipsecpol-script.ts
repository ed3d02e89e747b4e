/** `ipsecpol -file`: the lines of a script as one change of the stored policies and the dynamic rules. */

import { keyFilesIn, namesIn } from '../policy/build.js';
import { policyToDocument } from '../policy/document.js';
import {
  parseScript,
  type ScriptCommand,
  type ScriptError,
  scriptErrors,
} from '../policy/ipsecpol/script.js';
import type { Guid, Policy } from '../policy/model.js';
import type { StoreSnapshot } from '../policy/stores/store.js';
import { PolicyTransaction, type TransactionResult } from '../policy/transaction.js';
import { validatePolicy } from '../policy/validate.js';
import { IpseckitError } from '../report/errors.js';
import { Progress } from '../report/progress.js';
import { agentCall, agentCallIfRunning } from './agent.js';
import { LookUps } from './build-context.js';
import { localStore } from './local-store.js';
import { readTextFile } from './text-file.js';
import { requireLocalStore, requireThisComputer } from './this-computer.js';

/** How many warnings are printed. */
const mostWarnings = 20;
/** An agent with thousands of filters needs a while to put more in force. */
const agentTimeoutMs = 60_000;

export interface ScriptResult {
  readonly commands: number;
  readonly notes: readonly string[];
  readonly policies: readonly { readonly id: string; readonly name: string; readonly rules: number }[];
  readonly dynamicRulesAdded?: number;
  readonly dynamicRulesRemoved?: number;
}

/**
 * Runs a script: everything in it or, with an `IpseckitError`, nothing. `confirm` asks before dynamic rules change
 * where a line says `-confirm`; `undefined` comes back when it says no.
 */
export async function runScript(
  path: string,
  confirm: () => Promise<boolean>,
): Promise<ScriptResult | undefined> {
  const text = readTextFile(path);
  const file = path === '-' ? 'stdin' : path;
  const progress = new Progress('reading', text.split('\n').length);
  const commands = finishing(progress, () => parseScript(text, file, () => progress.step()));
  checkReach(commands);
  const lookUps = await lookUp(commands);
  if (commands.some(({ command }) => command.kind === 'dynamic' && command.confirm) && !(await confirm()))
    return undefined;
  return commands.some(({ command }) => command.kind === 'static')
    ? changeStore(commands, lookUps)
    : changeDynamicOnly(commands, lookUps);
}

async function changeDynamicOnly(
  commands: readonly ScriptCommand[],
  lookUps: LookUps,
): Promise<ScriptResult> {
  const { result, notes } = applyAll({ policies: [], problems: [] }, commands, lookUps);
  return { ...summary(commands, result, notes), ...(await sendDynamic(result)) };
}

async function changeStore(commands: readonly ScriptCommand[], lookUps: LookUps): Promise<ScriptResult> {
  const outcome = await localStore().exclusively(async store => {
    const { result, notes } = applyAll(await store.snapshot(), commands, lookUps);
    const staged = result.store === undefined ? undefined : store.stage(result.store);
    let dynamic: Awaited<ReturnType<typeof sendDynamic>>;
    try {
      dynamic = await sendDynamic(result);
    } catch (error) {
      staged?.discard();
      throw error;
    }
    staged?.commit();
    return { result, ...summary(commands, result, notes), ...dynamic };
  });
  const { result, ...rest } = outcome;
  const running = (await agentCallIfRunning('reload', {})) !== undefined;
  const waiting = !running && result.store?.assigned?.id !== undefined;
  return waiting
    ? {
        ...rest,
        notes: [
          ...rest.notes,
          'note: the policy agent is not running; the policy takes effect with "ipseckit agent start"',
        ],
      }
    : rest;
}

function applyAll(
  snapshot: StoreSnapshot,
  commands: readonly ScriptCommand[],
  lookUps: LookUps,
): { result: TransactionResult; notes: string[] } {
  const transaction = new PolicyTransaction(snapshot);
  const notes: string[] = [];
  const errors: ScriptError[] = [];
  const origins = new Map<Guid, ScriptCommand>();
  const progress = new Progress('building', commands.length);
  finishing(progress, () => {
    for (const line of commands) {
      progress.step();
      try {
        const effect = transaction.apply(line.command, lookUps);
        notes.push(...effect.notes);
        for (const rule of effect.rules) origins.set(rule.id, line);
      } catch (error) {
        errors.push(located(line, error));
      }
    }
  });
  if (errors.length > 0) throw scriptErrors(errors);
  const { result } = transaction;
  notes.push(...checked(result, origins));
  return { result, notes };
}

/** Warnings as lines. Throws the errors of policies that cannot work, at the lines that made their rules. */
function checked(result: TransactionResult, origins: ReadonlyMap<Guid, ScriptCommand>): string[] {
  const checks: { policy: Policy; complete: boolean }[] = [
    ...result.touched.map(({ policy, assigned }) => ({ policy, complete: assigned })),
    ...(result.dynamic?.policies ?? []).map(policy => ({ policy, complete: true })),
  ];
  const findings = checks.flatMap(({ policy, complete }) =>
    validatePolicy(policy).filter(({ code }) => complete || code !== 'tunnel-partner'),
  );
  const faults = findings
    .filter(({ severity }) => severity === 'error')
    .map(({ message, next, where }) => {
      const error = new IpseckitError('INVALID_POLICY', message, { next });
      const line = where.ruleId === undefined ? undefined : origins.get(where.ruleId);
      return line?.error(error, where.filter) ?? error;
    });
  if (faults.length > 0) throw scriptErrors(faults);
  const warnings = findings.map(finding => `warning: ${finding.message}; ${finding.next}`);
  return warnings.length > mostWarnings
    ? [...warnings.slice(0, mostWarnings), `warning: and ${warnings.length - mostWarnings} more warnings`]
    : warnings;
}

/** Refuses lines for other computers and other stores. */
function checkReach(commands: readonly ScriptCommand[]): void {
  for (const line of commands) {
    const { command } = line;
    try {
      requireThisComputer(command.host);
      if (command.kind === 'static') requireLocalStore(command.store.kind);
    } catch (error) {
      throw located(line, error, command.host);
    }
  }
}

async function lookUp(commands: readonly ScriptCommand[]): Promise<LookUps> {
  const lookUps = new LookUps();
  const errors: ScriptError[] = [];
  const names = commands.flatMap(line => namesIn(line.command).map(name => ({ line, name })));
  const failures = await Promise.all(
    names.map(({ line, name }) =>
      lookUps.resolve(name).then(
        () => [],
        (error: unknown) => [located(line, error, name)],
      ),
    ),
  );
  errors.push(...failures.flat());
  for (const line of commands)
    for (const path of keyFilesIn(line.command))
      try {
        lookUps.readKey(path);
      } catch (error) {
        errors.push(located(line, error, path));
      }
  if (errors.length > 0) throw scriptErrors(errors);
  return lookUps;
}

async function sendDynamic({ dynamic }: TransactionResult) {
  if (dynamic === undefined) return {};
  const { removed, rules } = await agentCall(
    'changeDynamic',
    { clear: dynamic.clear, policies: dynamic.policies.map(policyToDocument) },
    { timeoutMs: agentTimeoutMs },
  );
  return {
    ...(dynamic.clear ? { dynamicRulesRemoved: removed } : {}),
    ...(dynamic.policies.length > 0 ? { dynamicRulesAdded: rules } : {}),
  };
}

function summary(
  commands: readonly ScriptCommand[],
  { touched }: TransactionResult,
  notes: readonly string[],
) {
  return {
    commands: commands.length,
    notes,
    policies: touched.map(({ policy: { id, name, rules } }) => ({ id, name, rules: rules.length })),
  };
}

function located(line: ScriptCommand, error: unknown, about?: string): ScriptError {
  if (error instanceof IpseckitError) return line.error(error, about);
  throw error;
}

function finishing<T>(progress: Progress, work: () => T): T {
  try {
    return work();
  } finally {
    progress.done();
  }
}
