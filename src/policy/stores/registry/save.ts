/** From policies to the objects of a Windows store. */
import type { Secret } from '../../../crypto/secret.js';
import { toHex } from '../../../wire/bytes.js';
import { describeRule } from '../../describe.js';
import type { PolicyCollection } from '../../document.js';
import { derivedGuid } from '../../guid.js';
import type { FilterAction, FilterList, Guid, Policy, Rule } from '../../model.js';
import { NoteBook, type PolicyNote } from '../../note.js';
import { actionToData } from './action-model.js';
import { filterData } from './filter-data.js';
import { filtersToData } from './filter-model.js';
import { isakmpData } from './isakmp-data.js';
import { keyExchangeToData } from './isakmp-model.js';
import { keyExchangeId } from './load.js';
import { actionTypeGuids, negotiationData } from './negotiation-data.js';
import { nfaData } from './nfa-data.js';
import { type ObjectGraph, type ObjectName, objectKey, type StoredObject } from './objects.js';
import { policyData } from './policy-data.js';
import { ruleToData } from './rule-model.js';

export interface SaveOptions {
  /** When a policy without a time of its own was changed. */
  readonly nowSeconds: number;
  /** The text that stands for a preshared key: the key, or a mask. */
  readonly printKey: (key: Secret<string>) => string;
}

export interface SavedObjects {
  readonly graph: ObjectGraph;
  readonly notes: readonly PolicyNote[];
}

/**
 * The objects of these policies, as Windows would write them. What a Windows store cannot hold is left out and noted.
 * Throws `IpseckitError` (UNSUPPORTED) when that leaves a rule without any method.
 */
export function saveObjects(collection: PolicyCollection, options: SaveOptions): SavedObjects {
  const book = new NoteBook();
  const out = new ObjectWriter(options);
  for (const policy of collection.policies) savePolicy(policy, out, book.in(`policy '${policy.name}'`));
  for (const list of collection.library.filterLists)
    saveFilterList(list, undefined, out, book.in(`filter list '${list.name ?? list.id}'`));
  for (const action of collection.library.actions)
    saveAction(action, 'standard', undefined, out, book.in(`filter action '${action.name ?? action.id}'`));
  const { assigned } = collection;
  return {
    graph: {
      objects: out.objects,
      ...(assigned === undefined ? {} : { active: { class: 'ipsecPolicy', id: assigned } }),
    },
    notes: book.notes,
  };
}

type NewObject = Omit<StoredObject, 'where' | 'owners'>;

/** Collects objects. One that several rules share is there once, with all of them as owners. */
class ObjectWriter {
  readonly #objects = new Map<string, StoredObject>();
  readonly options: SaveOptions;

  constructor(options: SaveOptions) {
    this.options = options;
  }

  get objects(): readonly StoredObject[] {
    return [...this.#objects.values()];
  }

  /** Adds an object and returns its name: another than asked for when that is taken by one that says otherwise. */
  add(object: NewObject, owner: ObjectName | undefined, book: NoteBook): ObjectName {
    const taken = this.#objects.get(objectKey(object));
    if (taken !== undefined && !sameContent(taken, object)) {
      book.add(
        'changed',
        `${objectKey(object)} is there with another content, so a copy has an id of its own`,
      );
      return this.add({ ...object, id: derivedGuid(object.id, owner?.id ?? 'copy') }, owner, book);
    }
    const owners = [...(taken?.owners ?? []), ...(owner === undefined ? [] : [owner])];
    this.#objects.set(objectKey(object), { ...object, where: objectKey(object), owners });
    return { class: object.class, id: object.id };
  }

  /** Replaces the references of an object, which its parts were needed for. */
  refer(name: ObjectName, references: StoredObject['references']): void {
    const object = this.#objects.get(objectKey(name));
    if (object !== undefined) this.#objects.set(objectKey(name), { ...object, references });
  }
}

function savePolicy(policy: Policy, out: ObjectWriter, book: NoteBook): void {
  const changedAtSeconds = policy.changedAtSeconds ?? out.options.nowSeconds;
  if (policy.pollIntervalMinutes === 0)
    book.add('changed', 'a polling interval of 0 is the default of 180 minutes in a Windows store');
  const name = out.add(
    {
      class: 'ipsecPolicy',
      id: policy.id,
      name: policy.name,
      ...descriptionOf(policy),
      data: policyData.encode({ pollingSeconds: Math.min(policy.pollIntervalMinutes * 60, 0xffff_ffff) }),
      references: {},
      changedAtSeconds,
    },
    undefined,
    book,
  );
  const data = keyExchangeToData(policy.keyExchange, book);
  const isakmp = out.add(
    {
      class: 'ipsecISAKMPPolicy',
      id: policy.keyExchange.id ?? keyExchangeId(policy.id),
      data: isakmpData.encode(data),
      references: {},
      changedAtSeconds,
    },
    name,
    book,
  );
  const rules = policy.rules.map((rule, i) =>
    saveRule(rule, name, changedAtSeconds, out, book.in(describeRule(rule, i))),
  );
  out.refer(name, { ipsecISAKMPReference: [isakmp], ipsecNFAReference: rules });
}

function saveRule(
  rule: Rule,
  policy: ObjectName,
  changedAtSeconds: number,
  out: ObjectWriter,
  book: NoteBook,
): ObjectName {
  const nfa = out.add(
    {
      class: 'ipsecNFA',
      id: rule.id,
      ...namesOf(rule),
      data: nfaData.encode(ruleToData(rule, out.options.printKey, book)),
      references: {},
      changedAtSeconds,
    },
    policy,
    book,
  );
  const type = rule.filterList === undefined ? 'defaultResponse' : 'standard';
  const action = saveAction(rule.action, type, nfa, out, book);
  const lists = rule.filterList === undefined ? [] : splitLists(rule.filterList);
  const filters = lists.map(list => saveFilterList(list, nfa, out, book));
  out.refer(nfa, {
    ipsecNegotiationPolicyReference: [action],
    ...(filters.length === 0 ? {} : { ipsecFilterReference: filters }),
  });
  return nfa;
}

function saveAction(
  action: FilterAction,
  type: keyof typeof actionTypeGuids,
  owner: ObjectName | undefined,
  out: ObjectWriter,
  book: NoteBook,
): ObjectName {
  const { action: guid, offers } = actionToData(action, book);
  return out.add(
    {
      class: 'ipsecNegotiationPolicy',
      id: action.id,
      ...namesOf(action),
      data: negotiationData.encode({ offers }),
      references: {},
      action: guid,
      actionType: actionTypeGuids[type] as Guid,
      changedAtSeconds: out.options.nowSeconds,
    },
    owner,
    book,
  );
}

function saveFilterList(
  list: FilterList,
  owner: ObjectName | undefined,
  out: ObjectWriter,
  book: NoteBook,
): ObjectName {
  return out.add(
    {
      class: 'ipsecFilter',
      id: list.id,
      ...namesOf(list),
      data: filterData.encode(filtersToData(list.filters, book)),
      references: {},
      changedAtSeconds: out.options.nowSeconds,
    },
    owner,
    book,
  );
}

/** The lists a rule had in the store it came from; filters that belong to none of the further ones are the first's. */
function splitLists({ furtherLists = [], ...list }: FilterList): FilterList[] {
  const further = furtherLists.map(({ filterIds, ...each }) => {
    const ids = new Set(filterIds);
    return { ...each, filters: list.filters.filter(({ id }) => ids.has(id)) };
  });
  const taken = new Set(further.flatMap(({ filters }) => filters));
  return [{ ...list, filters: list.filters.filter(filter => !taken.has(filter)) }, ...further];
}

function sameContent(a: NewObject, b: NewObject): boolean {
  const content = ({ name, description, data = new Uint8Array(), action, actionType }: NewObject) =>
    JSON.stringify([name, description, toHex(data), action, actionType]);
  return a.class !== 'ipsecNFA' && a.class !== 'ipsecPolicy' && content(a) === content(b);
}

function namesOf(of: { readonly name?: string; readonly description?: string }) {
  return { ...(of.name === undefined ? {} : { name: of.name }), ...descriptionOf(of) };
}

function descriptionOf({ description }: { readonly description?: string }) {
  return description === undefined ? {} : { description };
}
