/** Changing a stored policy and saying how `ipsecpol` would have done it: what the editing commands share. */
import { resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Secret } from '../crypto/secret.js';
import { type BuildContext, policyNotFound } from '../policy/build.js';
import { policyToDocument } from '../policy/document.js';
import { namesInChanges, type RuleChanges } from '../policy/edit.js';
import { type Equivalent, equivalentCommands } from '../policy/equivalent.js';
import { printIpsecpol, shellLine } from '../policy/ipsecpol/print.js';
import type { Policy } from '../policy/model.js';
import type { PolicyNote } from '../policy/note.js';
import type { LocalStore } from '../policy/stores/local.js';
import { IpseckitError } from '../report/errors.js';
import { agentCallIfRunning } from './agent.js';
import { LookUps } from './build-context.js';
import { localStore } from './local-store.js';
import { checkedPolicy } from './policy-check.js';

/** So many lines are printed; longer policies are for `policy export`. */
const mostLines = 100;

/** What a command did to a policy. */
export interface EditedPolicy {
  readonly policy: string;
  readonly rules: number;
  readonly changed: boolean;
  readonly assigned: boolean;
  /** Whether a running agent has taken the change up. */
  readonly inForce: boolean;
  /** `ipsecpol` command lines for a shell that do the same; keys are masked. */
  readonly lines: readonly string[];
  /** What those lines cannot do, and warnings about the policy. */
  readonly notes: readonly string[];
}

interface EditOptions {
  readonly store: LocalStore;
  /** Assign it in the same step. */
  readonly assign?: boolean;
  readonly keys?: KeyFileNames;
}

export type PolicyEditRequest =
  /** There must be no policy of that name yet. */
  | (EditOptions & { readonly create: Policy })
  | (EditOptions & {
      readonly name: string;
      /** The policy as somebody saw it before: when it is another one now, nothing is written. */
      readonly seen?: Policy;
      readonly change: (current: Policy) => Policy | Promise<Policy>;
    });

/** Which file a preshared key was read from, so that a printed line can name it. */
export class KeyFileNames {
  readonly #paths = new Map<string, string>();

  add(key: Secret<string>, path: string): void {
    this.#paths.set(key.reveal(), resolve(path));
  }

  pathOf(key: Secret<string>): string | undefined {
    return this.#paths.get(key.reveal());
  }
}

/**
 * Reads, changes, checks and writes a policy in one step that nobody else's change can come between, and lets the
 * agent know. Throws `IpseckitError`; nothing is changed then.
 */
export async function editPolicy(request: PolicyEditRequest): Promise<EditedPolicy> {
  const { store, keys = new KeyFileNames() } = request;
  const done = await store.exclusively(async locked => {
    const current = 'create' in request ? undefined : await locked.read(request.name);
    const assignedId = (await locked.snapshot()).assigned;
    const assignedBefore = current !== undefined && assignedId === current.id;
    const assigned = assignedBefore || request.assign === true;
    const next = 'create' in request ? request.create : await changed(request, current, keys);
    const warnings = checkedPolicy(next, assigned);
    const differs = current === undefined || !sameDocument(current, next);
    const assignment = assigned && !assignedBefore ? { assigned: { id: next.id } } : {};
    await requireFreeName(locked, next);
    if (differs || assigned !== assignedBefore)
      locked.stage({ written: differs ? [next] : [], deleted: [], ...assignment }).commit();
    const equivalent = equivalentCommands(current, next, {
      assignedBefore,
      assignedAfter: assigned,
      keyFile: key => keys.pathOf(key),
    });
    return { next, warnings, changed: differs || assigned !== assignedBefore, assigned, equivalent };
  });
  const inForce = (await agentCallIfRunning('reload', {})) !== undefined;
  const { lines, notes } = printedLines(done.equivalent);
  return {
    policy: done.next.name,
    rules: done.next.rules.length,
    changed: done.changed,
    assigned: done.assigned,
    inForce,
    lines,
    notes: [...done.warnings, ...notes],
  };
}

/** The policy, for somebody to look at before changing it. Throws `IpseckitError` (STORE) when there is none. */
export async function readPolicy(store: LocalStore, name: string): Promise<Policy> {
  const policy = await store.read(name);
  if (policy === undefined) throw policyNotFound(name);
  return policy;
}

/** What changes of rules need to know: names are resolved and key files read once, however often it is asked. */
export class RuleLookUps {
  readonly keys = new KeyFileNames();
  readonly #lookUps = new LookUps();

  /** Throws `IpseckitError`: NAME_RESOLUTION, ACCESS_DENIED, USAGE. */
  async for(changes: RuleChanges): Promise<BuildContext> {
    await Promise.all(namesInChanges(changes).map(name => this.#lookUps.resolve(name)));
    for (const method of changes.authentication ?? [])
      if (method.kind === 'presharedFile') {
        this.#lookUps.readKey(method.path);
        this.keys.add(this.#lookUps.presharedKey(method.path), method.path);
      }
    return this.#lookUps;
  }
}

/**
 * Changes a policy by what a command line says of its rules. The change runs once on the policy as it is, so that
 * names are resolved and mistakes found before the store is locked, and then on the policy it finds there.
 */
export async function editRules(
  name: string,
  change: (policy: Policy, lookUps: RuleLookUps) => Promise<Policy>,
): Promise<EditedPolicy> {
  const store = localStore();
  const lookUps = new RuleLookUps();
  await change(await readPolicy(store, name), lookUps);
  return editPolicy({ store, name, keys: lookUps.keys, change: policy => change(policy, lookUps) });
}

/** The lines for people, behind what a command says first. */
export function describeLines({ lines }: EditedPolicy): string[] {
  if (lines.length === 0) return [];
  return ['', 'The same with ipsecpol:', ...lines.map(line => `  ${line}`)];
}

async function changed(
  { seen, name, change }: Extract<PolicyEditRequest, { name: string }>,
  current: Policy | undefined,
  keys: KeyFileNames,
): Promise<Policy> {
  if (current !== undefined && (seen === undefined || sameDocument(seen, current))) return change(current);
  if (seen === undefined) throw policyNotFound(name);
  // What was answered is not lost: it is there as lines to run.
  const { commands } = equivalentCommands(seen, await change(seen), {
    assignedBefore: false,
    assignedAfter: false,
    keyFile: key => keys.pathOf(key),
  });
  const lines = commands.map(command => `\n  ipsecpol ${shellLine(printIpsecpol(command))}`).join('');
  throw new IpseckitError(
    'CONFLICT',
    `policy '${name}' was ${current === undefined ? 'deleted' : 'changed'} by somebody else meanwhile, and nothing was written; with ipsecpol your change is${lines}`,
    { next: 'look at the policy as it is now ("ipseckit policy show"), and make the change again' },
  );
}

async function requireFreeName(store: LocalStore, policy: Policy): Promise<void> {
  const other = await store.read(policy.name);
  if (other !== undefined && other.id !== policy.id) throw alreadyThere(other.name);
}

function alreadyThere(name: string): IpseckitError {
  return new IpseckitError('CONFLICT', `there is a policy '${name}' already`, {
    next: 'change it with "ipseckit policy edit", or choose another name',
  });
}

function sameDocument(a: Policy, b: Policy): boolean {
  return isDeepStrictEqual(
    JSON.parse(JSON.stringify(policyToDocument(a))),
    JSON.parse(JSON.stringify(policyToDocument(b))),
  );
}

function printedLines({ commands, notes }: Equivalent): { lines: string[]; notes: string[] } {
  const lines = commands.map(command => `ipsecpol ${shellLine(printIpsecpol(command))}`);
  const printed = notes.map(note => printEquivalentNote(note));
  if (lines.length <= mostLines) return { lines, notes: printed };
  return {
    lines: [],
    notes: [
      ...printed,
      `note: ${lines.length} ipsecpol lines do the same; "ipseckit policy export" writes them`,
    ],
  };
}

function printEquivalentNote({ kind, where, text }: PolicyNote): string {
  const how = kind === 'dropped' ? 'ipsecpol cannot say' : 'with ipsecpol it differs';
  return `note: ${how}: ${where === '' ? '' : `${where}: `}${text}`;
}
