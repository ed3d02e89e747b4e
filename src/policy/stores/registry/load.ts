/** From the objects of a Windows store to policies: top down, from the policy to what it references. */
import { WireError } from '../../../wire/bytes.js';
import { defaultKeyExchange } from '../../build.js';
import type { PolicyCollection } from '../../document.js';
import { derivedGuid } from '../../guid.js';
import {
  type FilterAction,
  type FilterList,
  type Guid,
  type KeyExchangeSettings,
  type Policy,
  policyDefaults,
  type Rule,
} from '../../model.js';
import { NoteBook, type PolicyNote } from '../../note.js';
import { StoreFormatError } from '../format-error.js';
import { actionFromData } from './action-model.js';
import { filterData } from './filter-data.js';
import { filtersFromData } from './filter-model.js';
import type { Blob } from './frame.js';
import { isakmpData } from './isakmp-data.js';
import { keyExchangeFromData } from './isakmp-model.js';
import { actionTypeGuids, negotiationData } from './negotiation-data.js';
import { nfaData } from './nfa-data.js';
import {
  type ObjectClass,
  type ObjectGraph,
  type ObjectName,
  objectKey,
  type StoredObject,
} from './objects.js';
import { policyData } from './policy-data.js';
import { ruleFromData } from './rule-model.js';

/** A rule that marks the version of a domain's store and belongs to no policy. */
const versionMarker = '{6A1F5C6F-72B7-11D2-ACF0-0060B0ECCA17}';

export interface LoadedPolicies {
  readonly collection: PolicyCollection;
  readonly notes: readonly PolicyNote[];
  /** Rules of policies that are left out; why, the notes of the same place say. */
  readonly lostRules: readonly LostRule[];
}

export interface LostRule {
  readonly policy: Guid;
  readonly rule: Guid;
  /** As in `PolicyNote`. */
  readonly where: string;
}

/** Whether a note says why one of these rules is left out. */
export function isAbout({ kind, where }: PolicyNote, lost: readonly LostRule[]): boolean {
  return kind === 'dropped' && lost.some(rule => rule.where === where);
}

/** What an object costs that cannot be read: everything, or the rules that need it. */
export type DamageCosts = 'all' | 'rules';

/**
 * The policies of a store, and the filter lists and actions no rule uses. References that lead nowhere and values
 * nobody knows are noted, and what depends on them is left out: neither permit nor block is guessed (`policy-store.md`
 * 7.6). Throws `StoreFormatError` for what cannot be read, with the object and the offset; where damage costs `rules` only
 * for a policy and its key exchange settings, without which its rules would mean something else.
 */
export function loadObjects(graph: ObjectGraph, damage: DamageCosts = 'all'): LoadedPolicies {
  const book = new NoteBook();
  for (const object of graph.objects)
    if (damage === 'all' && object.damage !== undefined) throw object.damage;
  const store = new Objects(graph.objects, damage, book);
  const policies = store.all('ipsecPolicy').map(object => loadPolicy(object, store, book));
  const { active } = graph;
  const assigned = policies.find(({ id }) => id === active?.id)?.id;
  if (active !== undefined && assigned === undefined)
    book.add('dropped', `the assigned policy ${objectKey(active)} is not there`);
  for (const lost of store.unused('ipsecNFA'))
    if (lost.id !== versionMarker) placeOf(lost, book).add('dropped', 'the rule belongs to no policy');
  const library = {
    filterLists: store
      .unused('ipsecFilter')
      .flatMap(object => store.ifReadable(object, placeOf(object, book), loadFilterList) ?? []),
    actions: store
      .unused('ipsecNegotiationPolicy')
      .flatMap(object => store.ifReadable(object, placeOf(object, book), loadAction) ?? []),
  };
  const collection = { policies, ...(assigned === undefined ? {} : { assigned }), library };
  return { collection, notes: book.notes, lostRules: store.lostRules };
}

/** Objects by name; remembers which were used. */
class Objects {
  readonly #byName = new Map<string, StoredObject>();
  readonly #used = new Set<StoredObject>();
  /** Filter lists by the rule that owns them, as only they themselves say. */
  readonly #filtersOfOwner = new Map<string, StoredObject[]>();
  readonly #damage: DamageCosts;
  readonly lostRules: LostRule[] = [];

  constructor(objects: readonly StoredObject[], damage: DamageCosts, book: NoteBook) {
    this.#damage = damage;
    for (const object of objects) {
      const key = objectKey(object);
      if (this.#byName.has(key)) {
        book.add('dropped', `${object.where} is there twice, the first counts`);
        continue;
      }
      this.#byName.set(key, object);
      if (object.class !== 'ipsecFilter') continue;
      for (const owner of object.owners) {
        const owned = this.#filtersOfOwner.get(objectKey(owner)) ?? [];
        this.#filtersOfOwner.set(objectKey(owner), [...owned, object]);
      }
    }
  }

  all(wanted: ObjectClass): StoredObject[] {
    return [...this.#byName.values()].filter(object => object.class === wanted);
  }

  unused(wanted: ObjectClass): StoredObject[] {
    return this.all(wanted).filter(object => !this.#used.has(object));
  }

  /** The object of this class that a reference names. */
  follow(reference: ObjectName | undefined, wanted: ObjectClass): StoredObject | undefined {
    if (reference === undefined || reference.class !== wanted) return undefined;
    const object = this.#byName.get(objectKey(reference));
    if (object !== undefined) this.#used.add(object);
    return object;
  }

  /** What `load` makes of an object; `undefined`, and a note, where something cannot be read and that costs no more. */
  ifReadable<T>(
    object: StoredObject,
    book: NoteBook,
    load: (object: StoredObject, book: NoteBook) => T | undefined,
  ): T | undefined {
    try {
      return load(object, book);
    } catch (error) {
      if (this.#damage === 'all' || !(error instanceof StoreFormatError)) throw error;
      book.add('dropped', `it cannot be read: ${error.message}`);
      return undefined;
    }
  }

  /** Filter lists that name this rule as an owner. */
  ownedBy(rule: StoredObject): StoredObject[] {
    const owned = this.#filtersOfOwner.get(objectKey(rule)) ?? [];
    for (const object of owned) this.#used.add(object);
    return owned;
  }
}

function loadPolicy(object: StoredObject, store: Objects, parent: NoteBook): Policy {
  const book = parent.in(`policy '${object.name ?? object.id}'`);
  const { pollingSeconds } = decode(object, policyData);
  if (pollingSeconds % 60 !== 0)
    book.add('changed', `its polling interval of ${pollingSeconds} seconds is kept in whole minutes`);
  const seen = new Set<string>();
  const rules = (object.references.ipsecNFAReference ?? []).flatMap((reference, i) => {
    if (seen.has(objectKey(reference))) {
      book.add('changed', `its rule ${objectKey(reference)} is referred to twice, and counts once`);
      return [];
    }
    seen.add(objectKey(reference));
    const rule = store.follow(reference, 'ipsecNFA');
    if (rule === undefined) {
      book.add('dropped', `its rule ${objectKey(reference)} is not there`);
      return [];
    }
    const place = book.in(placeOfRule(rule, i));
    const loaded = store.ifReadable(rule, place, () => loadRule(rule, store, place));
    if (loaded === undefined) store.lostRules.push({ policy: object.id, rule: rule.id, where: place.where });
    return loaded ?? [];
  });
  return {
    id: object.id,
    name: object.name ?? object.id,
    ...descriptionOf(object),
    pollIntervalMinutes:
      pollingSeconds === 0
        ? policyDefaults.pollIntervalMinutes
        : Math.max(1, Math.round(pollingSeconds / 60)),
    ...(object.changedAtSeconds === undefined ? {} : { changedAtSeconds: object.changedAtSeconds }),
    keyExchange: loadKeyExchange(object, store, book),
    rules,
  };
}

function loadKeyExchange(policy: StoredObject, store: Objects, book: NoteBook): KeyExchangeSettings {
  const object = store.follow(policy.references.ipsecISAKMPReference?.[0], 'ipsecISAKMPPolicy');
  if (object === undefined) {
    book.add('changed', 'its key exchange settings are not there, and the built-in ones stand for them');
    return defaultKeyExchange;
  }
  const settings = keyExchangeFromData(decode(object, isakmpData), book);
  return object.id === keyExchangeId(policy.id) ? settings : { id: object.id, ...settings };
}

/** `undefined` when a part without which the rule means nothing is not there. */
function loadRule(object: StoredObject, store: Objects, book: NoteBook): Rule | undefined {
  const parts = ruleFromData(decode(object, nfaData), book);
  const actionObject = store.follow(
    object.references.ipsecNegotiationPolicyReference?.[0],
    'ipsecNegotiationPolicy',
  );
  const lists = new Set([
    ...(object.references.ipsecFilterReference ?? []).flatMap(reference => {
      const list = store.follow(reference, 'ipsecFilter');
      if (list === undefined) book.add('dropped', `its filter list ${objectKey(reference)} is not there`);
      return list ?? [];
    }),
    ...store.ownedBy(object),
  ]);
  const action = actionObject && loadAction(actionObject, book);
  if (actionObject === undefined) book.add('dropped', 'the rule has no filter action');
  if (actionObject === undefined || action === undefined) return undefined;
  const isDefault = actionObject.actionType === actionTypeGuids.defaultResponse;
  if (lists.size === 0 && !isDefault) {
    book.add('dropped', 'the rule has no filter list');
    return undefined;
  }
  return {
    id: object.id,
    ...namesOf(object),
    ...parts,
    ...(lists.size === 0 ? {} : { filterList: loadFilterLists([...lists], book) }),
    action,
  };
}

function loadFilterLists(objects: readonly StoredObject[], book: NoteBook): FilterList {
  const [first, ...further] = objects.map(object => loadFilterList(object, book));
  if (first === undefined) throw new RangeError('a rule with filters has a filter list');
  if (further.length === 0) return first;
  return {
    ...first,
    filters: [first, ...further].flatMap(({ filters }) => filters),
    furtherLists: further.map(({ filters, ...list }) => ({
      ...list,
      filterIds: filters.map(({ id }) => id),
    })),
  };
}

function loadFilterList(object: StoredObject, book: NoteBook): FilterList {
  return {
    id: object.id,
    ...namesOf(object),
    filters: filtersFromData(decode(object, filterData), book),
  };
}

/** `undefined`, and a note, for an action that is neither permit nor block nor negotiate. */
function loadAction(object: StoredObject, book: NoteBook): FilterAction | undefined {
  const { offers } = decode(object, negotiationData);
  const action = actionFromData(object.id, object.action, offers, book);
  if (action === undefined)
    book.add('dropped', `the action ${object.action ?? 'without ipsecNegotiationPolicyAction'} is unknown`);
  return action && { ...action, ...namesOf(object) };
}

/** The key exchange object of a policy that came from no Windows store. */
export function keyExchangeId(policy: Guid): Guid {
  return derivedGuid(policy, 'ipsecISAKMPPolicy');
}

function decode<T>(object: StoredObject, blob: Blob<T>): T {
  if (object.damage !== undefined) throw object.damage;
  const where = `${object.where}, value ipsecData`;
  if (object.data === undefined) throw new StoreFormatError(where, 'is missing');
  try {
    return blob.decode(object.data);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new StoreFormatError(where, error.message);
  }
}

function namesOf(object: StoredObject): { readonly name?: string; readonly description?: string } {
  const name = nameOf(object);
  return { ...(name === undefined ? {} : { name }), ...descriptionOf(object) };
}

/** Windows 2000 names what has no name after its GUID, or after the key of another object. */
function nameOf({ name }: StoredObject): string | undefined {
  return name === undefined || name === '' || /^(.*\\)?(ipsec[a-z]+)?\{[\da-f-]{36}\}$/i.test(name)
    ? undefined
    : name;
}

function descriptionOf({ description }: StoredObject): { readonly description?: string } {
  return description === undefined || description === '' ? {} : { description };
}

function placeOf(object: StoredObject, book: NoteBook): NoteBook {
  return book.in(nameOf(object) === undefined ? objectKey(object) : `${object.class} '${object.name}'`);
}

function placeOfRule(object: StoredObject, index: number): string {
  const name = nameOf(object);
  return name === undefined ? `rule ${index + 1}` : `rule '${name}'`;
}
