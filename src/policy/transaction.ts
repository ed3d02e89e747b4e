/** Several `ipsecpol` commands on a store and on the dynamic rules as one change. Pure: nothing is written or sent. */
import type { IpseckitError } from '../report/errors.js';
import { type BuildContext, buildDynamicPolicy, PolicyEdit } from './build.js';
import { changesPolicy, type IpsecpolCommand, type StaticCommand } from './ipsecpol/command.js';
import type { Guid, Policy, Rule } from './model.js';
import type { StoreChange, StoreSnapshot } from './stores/store.js';

/** What all commands together come to. */
export interface TransactionResult {
  /** Absent when the store stays as it is. */
  readonly store?: StoreChange;
  /** Absent when no command is about dynamic rules. */
  readonly dynamic?: DynamicChange;
  /** Policies to check before this is put in force, and whether each is going to be assigned. */
  readonly touched: readonly { readonly policy: Policy; readonly assigned: boolean }[];
}

export interface DynamicChange {
  /** All dynamic rules there are go first. */
  readonly clear: boolean;
  /** In order; rules of commands with the same main mode settings are in one policy. */
  readonly policies: readonly Policy[];
}

/** What one command did. */
export interface CommandEffect {
  readonly rules: readonly Rule[];
  readonly notes: readonly string[];
}

interface Entry {
  /** As stored; `undefined` when it is new. */
  readonly before: Policy | undefined;
  /** `undefined` when it is deleted, or not there. */
  edit: PolicyEdit | undefined;
  id: Guid | undefined;
  /** Whether its content differs, by any command. */
  changed: boolean;
  /** Whether it was assigned by a command, which is when it is checked again. */
  assigned: boolean;
}

export class PolicyTransaction {
  readonly #entries = new Map<string, Entry>();
  readonly #deleted: Guid[] = [];
  readonly #problem: IpseckitError | undefined;
  readonly #assignedBefore: Guid | undefined;
  #assigned: Guid | undefined;
  #dynamic: { clear: boolean; policies: { policy: Policy; rules: Rule[]; settings: string }[] } | undefined;

  constructor({ policies, assigned, problems }: StoreSnapshot) {
    for (const policy of policies) this.#entries.set(key(policy.name), entryOf(policy));
    this.#assignedBefore = assigned;
    this.#assigned = assigned;
    this.#problem = problems[0];
  }

  /** Applies a command whole, or throws `IpseckitError` (STORE, CONFLICT) and leaves everything as it was. */
  apply(command: IpsecpolCommand, context: BuildContext): CommandEffect {
    const effect = command.kind === 'static' ? this.#applyStatic(command, context) : noEffect;
    if (command.deleteDynamic) this.#dynamic = { clear: true, policies: [] };
    if (command.kind === 'static' || command.filters.length === 0) return effect;
    const policy = buildDynamicPolicy(command, context);
    this.#addDynamic(policy);
    return { rules: policy.rules, notes: [] };
  }

  get result(): TransactionResult {
    const entries = [...this.#entries.values()];
    const touched = entries.flatMap(({ edit, changed, assigned, id }) =>
      edit !== undefined && (changed || assigned)
        ? [{ policy: edit.policy, changed, assigned: id === this.#assigned }]
        : [],
    );
    const written = touched.filter(({ changed }) => changed).map(({ policy }) => policy);
    const reassigned = this.#assigned !== this.#assignedBefore;
    const store = {
      written,
      deleted: this.#deleted,
      ...(reassigned ? { assigned: { id: this.#assigned } } : {}),
    };
    const unchanged = written.length === 0 && this.#deleted.length === 0 && !reassigned;
    return {
      ...(unchanged ? {} : { store }),
      ...(this.#dynamic === undefined
        ? {}
        : {
            dynamic: {
              clear: this.#dynamic.clear,
              policies: this.#dynamic.policies.map(({ policy, rules }) => ({ ...policy, rules })),
            },
          }),
      touched: touched.map(({ policy, assigned }) => ({ policy, assigned })),
    };
  }

  #applyStatic(command: StaticCommand, context: BuildContext): CommandEffect {
    const entry = this.#entry(command.policyName);
    if (entry.edit === undefined && (command.unassign || command.delete) && !changesPolicy(command))
      return { rules: [], notes: [`note: policy '${command.policyName}' is not there, nothing to do`] };
    const edit = entry.edit ?? new PolicyEdit(undefined);
    const rule = edit.apply(command, context);
    entry.edit = edit;
    entry.id ??= edit.policy.id;
    entry.changed ||= changesPolicy(command);
    if (command.assign) {
      this.#assigned = entry.id;
      entry.assigned = true;
    }
    if ((command.unassign || command.delete) && this.#assigned === entry.id) this.#assigned = undefined;
    if (command.delete) this.#delete(entry);
    return { rules: rule === undefined ? [] : [rule], notes: [] };
  }

  #delete(entry: Entry): void {
    if (entry.before !== undefined && entry.id === entry.before.id) this.#deleted.push(entry.before.id);
    entry.edit = undefined;
    entry.id = undefined;
    entry.changed = false;
    entry.assigned = false;
  }

  #entry(name: string): Entry {
    const known = this.#entries.get(key(name));
    if (known !== undefined) return known;
    // A damaged file might be the policy asked for: better to stop than to create it a second time.
    if (this.#problem !== undefined) throw this.#problem;
    const entry = entryOf(undefined);
    this.#entries.set(key(name), entry);
    return entry;
  }

  #addDynamic(policy: Policy): void {
    this.#dynamic ??= { clear: false, policies: [] };
    const settings = JSON.stringify(policy.keyExchange);
    const last = this.#dynamic.policies.at(-1);
    if (last?.settings === settings) last.rules.push(...policy.rules);
    else this.#dynamic.policies.push({ policy, rules: [...policy.rules], settings });
  }
}

const noEffect: CommandEffect = { rules: [], notes: [] };

function entryOf(before: Policy | undefined): Entry {
  return {
    before,
    edit: before === undefined ? undefined : new PolicyEdit(before),
    id: before?.id,
    changed: false,
    assigned: false,
  };
}

function key(name: string): string {
  return name.toLowerCase();
}
