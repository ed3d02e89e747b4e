/** What importing policies changes in a store. Pure. */
import { IpseckitError } from '../report/errors.js';
import { sameName } from './build.js';
import type { PolicyCollection } from './document.js';
import type { Guid, Policy, PolicyLibrary } from './model.js';
import type { StoreChange, StoreSnapshot } from './stores/store.js';

export interface ImportOptions {
  /** Also assign the policy the file says is assigned; its only policy when it says nothing. */
  readonly assign: boolean;
  /** A policy of the same name but another id gives way; without it, that is an error. */
  readonly replace: boolean;
}

export interface Import {
  readonly change: StoreChange;
  /** Each imported policy, and whether one of its id or name was there. */
  readonly policies: readonly { readonly policy: Policy; readonly replaced: boolean }[];
  readonly assigned?: Policy;
}

/**
 * The change that adds these policies, each in place of the one with its id. Throws `IpseckitError`: STORE when the
 * store cannot be read whole or has another policy of one of the names, USAGE when it is not clear which to assign.
 */
export function planImport(
  { policies, assigned, library }: PolicyCollection,
  store: StoreSnapshot,
  options: ImportOptions,
): Import {
  const [problem] = store.problems;
  // A damaged file might be one of the policies.
  if (problem !== undefined) throw problem;
  refuseTwins(policies);
  const imported = policies.map(policy => {
    const twin = store.policies.find(({ id, name }) => id !== policy.id && sameName(name, policy.name));
    if (twin !== undefined && !options.replace)
      throw new IpseckitError('STORE', `there is another policy '${twin.name}', ${twin.id}`, {
        next: 'add --replace to put the imported policy in its place, or rename one of them',
      });
    return {
      policy,
      twin,
      replaced: twin !== undefined || store.policies.some(({ id }) => id === policy.id),
    };
  });
  const deleted = imported
    .flatMap(({ twin }) => (twin === undefined ? [] : [twin.id]))
    .filter(id => !policies.some(policy => policy.id === id));
  const heir = imported.find(({ twin }) => twin !== undefined && twin.id === store.assigned)?.policy;
  const chosen = options.assign ? policyToAssign(policies, assigned) : heir;
  return {
    change: {
      written: policies,
      deleted: [...new Set(deleted)],
      ...(hasObjects(library) ? { library: joinLibraries(store.library, library) } : {}),
      ...(chosen === undefined ? {} : { assigned: { id: chosen.id } }),
    },
    policies: imported.map(({ policy, replaced }) => ({ policy, replaced })),
    ...(chosen === undefined ? {} : { assigned: chosen }),
  };
}

function policyToAssign(policies: readonly Policy[], assigned: Guid | undefined): Policy {
  const chosen = policies.length === 1 ? policies[0] : policies.find(({ id }) => id === assigned);
  if (chosen !== undefined) return chosen;
  throw new IpseckitError(
    'USAGE',
    `--assign: the file has ${policies.length} policies and says of none that it is assigned`,
    {
      next: 'import without --assign, then "ipseckit policy assign NAME"',
    },
  );
}

function refuseTwins(policies: readonly Policy[]): void {
  for (const [i, policy] of policies.entries()) {
    const twin = policies.slice(0, i).find(({ id, name }) => id === policy.id || sameName(name, policy.name));
    if (twin !== undefined)
      throw new IpseckitError(
        'STORE',
        `the file has two policies '${policy.name}', ${twin.id} and ${policy.id}`,
        {
          next: 'rename one of them in the store the file was exported from',
        },
      );
  }
}

function hasObjects({ filterLists, actions }: PolicyLibrary): boolean {
  return filterLists.length + actions.length > 0;
}

function joinLibraries(before: PolicyLibrary | undefined, added: PolicyLibrary): PolicyLibrary {
  const join = <T extends { readonly id: Guid }>(old: readonly T[] = [], more: readonly T[]) => [
    ...new Map([...old, ...more].map(each => [each.id, each])).values(),
  ];
  return {
    filterLists: join(before?.filterLists, added.filterLists),
    actions: join(before?.actions, added.actions),
  };
}
