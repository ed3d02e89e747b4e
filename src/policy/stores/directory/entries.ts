/** The entries of a directory as the objects of a policy store (`policy-store.md` 2, 3.1). Pure. */
import { parseGuid } from '../../guid.js';
import type { Guid } from '../../model.js';
import { StoreFormatError } from '../format-error.js';
import {
  type ObjectClass,
  type ObjectGraph,
  type ObjectName,
  objectClasses,
  objectKey,
  parseObjectName,
  referenceAttributes,
  referenceNames,
  type StoredObject,
} from '../registry/objects.js';

/** What a search found: attribute names in any case, each with its values. */
export interface DirectoryEntry {
  readonly dn: string;
  readonly attributes: ReadonlyMap<string, readonly (string | Uint8Array)[]>;
}

/** What is asked for of an object of the store. OpenLDAP keeps `modifyTimestamp`, and no `whenChanged`. */
export const objectAttributes = [
  'ipsecName',
  'description',
  'ipsecID',
  'ipsecData',
  'ipsecOwnersReference',
  ...referenceNames,
  'iPSECNegotiationPolicyAction',
  'iPSECNegotiationPolicyType',
  'whenChanged',
  'modifyTimestamp',
] as const;

/** Finds every object of a store in its container. */
export const objectFilter = `(|${objectClasses.map(each => `(objectClass=${each})`).join('')})`;

/** Where the policies of a domain lie. */
export function policyContainer(base: string): string {
  return `CN=IP Security,CN=System,${base}`;
}

/** The DN of a group policy object that is named by its GUID; a DN stays as it is. */
export function gpoDn(gpo: string, base: string): string {
  const id = parseGuid(gpo);
  return id === undefined ? gpo : `CN=${id},CN=Policies,CN=System,${base}`;
}

/** The object in a group policy object that says which policy is assigned. */
export function assignmentDn(gpo: string): string {
  return `CN=IPSEC,CN=Windows,CN=Microsoft,CN=Machine,${gpo}`;
}

/** The container of an entry: its DN without the first part. */
export function parentDn(dn: string): string {
  return dn.replace(/^(?:\\.|[^,\\])*,\s*/, '');
}

/** What a DN names, as the directory and messages write it. */
export function policyDn(id: Guid, container: string): string {
  return `CN=ipsecPolicy${id},${container}`;
}

/** The object an entry holds, damaged where a reference is none; `undefined` for any other entry. */
export function objectOfEntry(entry: DirectoryEntry): StoredObject | undefined {
  const name = parseObjectName(entry.dn);
  if (name === undefined) return undefined;
  const one = (attribute: string) => textValues(entry, attribute)[0];
  const [data] = entry.attributes.get('ipsecdata') ?? [];
  const changed = changedAtSeconds(entry);
  const guid = (attribute: string): Guid | undefined => {
    const text = one(attribute);
    return text === undefined ? undefined : parseGuid(text);
  };
  const [action, actionType] = [guid('iPSECNegotiationPolicyAction'), guid('iPSECNegotiationPolicyType')];
  const [label, description] = [one('ipsecName'), one('description')];
  const damage = badReference(entry);
  return {
    ...name,
    where: entry.dn,
    ...(label === undefined ? {} : { name: label }),
    ...(description === undefined ? {} : { description }),
    ...(data === undefined ? {} : { data: typeof data === 'string' ? Buffer.from(data, 'utf8') : data }),
    references: Object.fromEntries(
      referenceNames.flatMap(attribute => {
        const names = namesIn(entry, attribute);
        return names.length === 0 ? [] : [[attribute, names]];
      }),
    ),
    // They may be stale, and lead nowhere.
    owners: namesIn(entry, 'ipsecOwnersReference'),
    ...(action === undefined ? {} : { action }),
    ...(actionType === undefined ? {} : { actionType }),
    ...(changed === undefined ? {} : { changedAtSeconds: changed }),
    ...(damage === undefined ? {} : { damage }),
  };
}

/** When an entry says it was changed, as written: another text means that it was changed. */
export function changedText(entry: DirectoryEntry): string {
  return textValues(entry, 'whenChanged')[0] ?? textValues(entry, 'modifyTimestamp')[0] ?? '';
}

function changedAtSeconds(entry: DirectoryEntry): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:[.,]\d+)?Z$/.exec(changedText(entry));
  if (match === null) return undefined;
  const [year = 0, month = 1, day, hour, minute, second] = match.slice(1).map(digits => Number(digits ?? 0));
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
}

/** One value of an attribute, or several, as text. */
export function textValues(entry: DirectoryEntry, attribute: string): string[] {
  return (entry.attributes.get(attribute.toLowerCase()) ?? []).map(value =>
    typeof value === 'string' ? value : Buffer.from(value).toString('utf8'),
  );
}

function namesIn(entry: DirectoryEntry, attribute: string): ObjectName[] {
  return textValues(entry, attribute).flatMap(text => parseObjectName(text) ?? []);
}

function badReference(entry: DirectoryEntry): StoreFormatError | undefined {
  for (const attribute of referenceNames)
    for (const text of textValues(entry, attribute))
      if (parseObjectName(text) === undefined)
        return new StoreFormatError(
          `${entry.dn}, attribute ${attribute}`,
          `${JSON.stringify(text.slice(0, 120))} names no policy object`,
        );
  return undefined;
}

/**
 * One policy and what it needs, of everything in a container: damage elsewhere does not matter to it. Filter lists
 * belong to a rule also where only they themselves say so.
 */
export function partsOfPolicy(objects: readonly StoredObject[], id: Guid): ObjectGraph {
  const byKey = new Map<string, StoredObject>();
  const ofOwner = new Map<string, StoredObject[]>();
  for (const object of objects) {
    if (!byKey.has(objectKey(object))) byKey.set(objectKey(object), object);
    if (object.class === 'ipsecFilter')
      for (const owner of object.owners)
        ofOwner.set(objectKey(owner), [...(ofOwner.get(objectKey(owner)) ?? []), object]);
  }
  const parts = new Map<string, StoredObject>();
  const policy: ObjectName = { class: 'ipsecPolicy', id };
  // A list of what is left to visit, and no recursion: references may make a chain of any length.
  const left: { readonly name: ObjectName; readonly wanted: ObjectClass }[] = [
    { name: policy, wanted: 'ipsecPolicy' },
  ];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { name, wanted } = next;
    const object = name.class === wanted ? byKey.get(objectKey(name)) : undefined;
    if (object === undefined || parts.has(objectKey(object))) continue;
    parts.set(objectKey(object), object);
    for (const attribute of referenceNames)
      for (const reference of object.references[attribute] ?? [])
        left.push({ name: reference, wanted: referenceAttributes[attribute].to });
    for (const list of ofOwner.get(objectKey(object)) ?? []) left.push({ name: list, wanted: 'ipsecFilter' });
  }
  return { objects: [...parts.values()], active: policy };
}
