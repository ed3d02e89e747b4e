/** The objects of a policy store in the keys of a `.reg` file, and back (`policy-store.md` 3.2, 3.3). */
import { parseGuid } from '../../guid.js';
import { StoreFormatError } from '../format-error.js';
import type { RegKey, RegValue } from '../reg-file.js';
import {
  type ObjectGraph,
  type ObjectName,
  objectKey,
  parseObjectName,
  referenceAttributes,
  referenceNames,
  type StoredObject,
} from './objects.js';

const hive = 'HKEY_LOCAL_MACHINE';
const folder = 'SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local';
/** The key of a store, in lower case: there is one also when it holds no policies. */
const storeKey = /\\ipsec\\policy\\(local|cache|persistent)$/;
/** Every blob has this; it never means anything else. */
const dataType = 0x100;

/** The key that exports of ours are of. */
export const localStorePath = `${hive}\\${folder}`;

/**
 * The key of the store in a file, as written. Of several stores (Local, Cache) the local one counts. Throws
 * `StoreFormatError` when there is none.
 */
export function storePathOf(keys: readonly RegKey[]): string {
  const parents = keys.flatMap(key => {
    const at = key.path.lastIndexOf('\\');
    const isObject = !key.delete && parseObjectName(key.path.slice(at + 1)) !== undefined;
    return isObject ? [key.path.slice(0, at)] : [];
  });
  const empty = keys.map(({ path }) => path).filter(path => storeKey.test(path.toLowerCase()));
  const stores = [...parents, ...empty];
  const store = stores.find(each => each.toLowerCase().endsWith('\\local')) ?? stores[0];
  if (store !== undefined) return store;
  const [first] = keys;
  throw new StoreFormatError(
    '',
    first === undefined
      ? 'the file holds no keys, and so no IP Security policies'
      : `no key of the file is an IP Security policy object; the first is ${first.path}`,
  );
}

/** What a key is of a store: the object right below it, or `store` for the store's own key. */
export function placeInStore(path: string, store: string): ObjectName | 'store' | undefined {
  if (path.toLowerCase() === store.toLowerCase()) return 'store';
  const at = path.lastIndexOf('\\');
  return path.slice(0, at).toLowerCase() === store.toLowerCase()
    ? parseObjectName(path.slice(at + 1))
    : undefined;
}

/**
 * The objects in the keys of a file; one with a value of a type that it cannot have is damaged. Throws `StoreFormatError`
 * when there is no store in it.
 */
export function objectsFromReg(keys: readonly RegKey[]): ObjectGraph {
  const store = storePathOf(keys);
  const placed = keys.map(key => ({ key, place: placeInStore(key.path, store) }));
  const top = placed.find(({ place }) => place === 'store')?.key;
  const activePath = top && textOf(new Values(top.path, top.values), 'ActivePolicy');
  const activeName = activePath === undefined ? undefined : parseObjectName(activePath);
  return {
    objects: placed.flatMap(({ key, place }) =>
      place === undefined || place === 'store' || key.delete ? [] : [objectOf(place, key)],
    ),
    ...(activeName === undefined ? {} : { active: activeName }),
  };
}

/** The keys of a graph, in the order regedit exports them. */
export function objectsToReg({ objects, active }: ObjectGraph): RegKey[] {
  const path = (name: ObjectName) => `${folder}\\${objectKey(name)}`;
  const top = new Map<string, RegValue>();
  if (active !== undefined) top.set('ActivePolicy', { type: 'string', text: path(active) });
  const sorted = [...objects].sort((a, b) =>
    objectKey(a).toUpperCase() < objectKey(b).toUpperCase() ? -1 : 1,
  );
  return [
    { path: localStorePath, delete: false, values: top },
    ...sorted.map(object => ({
      path: `${hive}\\${path(object)}`,
      delete: false,
      values: valuesOf(object, path),
    })),
  ];
}

/** The values of one key by name in any case, with the key for messages. */
class Values {
  readonly where: string;
  readonly #values: ReadonlyMap<string, RegValue>;

  constructor(where: string, values: ReadonlyMap<string, RegValue>) {
    this.where = where;
    this.#values = new Map([...values].map(([name, value]) => [name.toLowerCase(), value]));
  }

  get(name: string): RegValue | undefined {
    const value = this.#values.get(name.toLowerCase());
    return value?.type === 'delete' ? undefined : value;
  }

  fail(name: string, problem: string): never {
    throw new StoreFormatError(`${this.where}, value ${name}`, problem);
  }
}

function objectOf(name: ObjectName, key: RegKey): StoredObject {
  try {
    return soundObjectOf(name, key);
  } catch (error) {
    if (!(error instanceof StoreFormatError)) throw error;
    return { ...name, where: key.path, references: {}, owners: ownersIn(key), damage: error };
  }
}

/** Also of a damaged object: whoever owns it must learn of it. */
function ownersIn(key: RegKey): readonly ObjectName[] {
  try {
    return namesIn(new Values(key.path, key.values), 'ipsecOwnersReference');
  } catch {
    return [];
  }
}

function soundObjectOf(name: ObjectName, key: RegKey): StoredObject {
  const values = new Values(key.path, key.values);
  const data = values.get('ipsecData');
  const bytes = data?.type === 'binary' ? data.bytes : undefined;
  if (data !== undefined && bytes === undefined) values.fail('ipsecData', `is ${data.type}, not binary`);
  const id = textOf(values, 'ipsecID');
  if (id !== undefined && parseGuid(id) !== name.id)
    values.fail('ipsecID', `is ${JSON.stringify(id.slice(0, 60))}, which is not the GUID of the key`);
  const changed = values.get('whenChanged');
  return {
    ...name,
    where: key.path,
    ...optionalText('name', textOf(values, 'ipsecName')),
    ...optionalText('description', textOf(values, 'description')),
    ...(bytes === undefined ? {} : { data: bytes }),
    references: Object.fromEntries(
      referenceNames.flatMap(attribute => {
        const names = namesIn(values, attribute);
        return names.length === 0 ? [] : [[attribute, names]];
      }),
    ),
    owners: namesIn(values, 'ipsecOwnersReference'),
    ...optionalGuid('action', textOf(values, 'ipsecNegotiationPolicyAction')),
    ...optionalGuid('actionType', textOf(values, 'ipsecNegotiationPolicyType')),
    ...(changed?.type === 'dword' ? { changedAtSeconds: changed.number } : {}),
  };
}

function valuesOf(object: StoredObject, path: (name: ObjectName) => string): Map<string, RegValue> {
  const values = new Map<string, RegValue>();
  const text = (name: string, value: string | undefined) => {
    if (value !== undefined) values.set(name, { type: 'string', text: value });
  };
  const list = (name: string, names: readonly ObjectName[]) => {
    if (names.length > 0) values.set(name, { type: 'strings', texts: names.map(path) });
  };
  text('ClassName', object.class);
  text('name', objectKey(object));
  text('ipsecName', object.name);
  text('description', object.description);
  text('ipsecID', object.id);
  values.set('ipsecDataType', { type: 'dword', number: dataType });
  if (object.data !== undefined) values.set('ipsecData', { type: 'binary', bytes: object.data });
  text('ipsecNegotiationPolicyAction', object.action);
  text('ipsecNegotiationPolicyType', object.actionType);
  for (const attribute of referenceNames) {
    const names = object.references[attribute] ?? [];
    if (referenceAttributes[attribute].many) list(attribute, names);
    else text(attribute, names[0] && path(names[0]));
  }
  list('ipsecOwnersReference', object.owners);
  if (object.changedAtSeconds !== undefined)
    values.set('whenChanged', { type: 'dword', number: object.changedAtSeconds });
  return values;
}

function textOf(values: Values, name: string): string | undefined {
  const value = values.get(name);
  if (value === undefined) return undefined;
  if (value.type === 'string' || value.type === 'expandable') return value.text;
  if (value.type === 'strings') return value.texts[0];
  return values.fail(name, `is ${value.type}, not text`);
}

/** What a value references, whether it is one text or several. */
function namesIn(values: Values, attribute: string): ObjectName[] {
  const value = values.get(attribute);
  const texts = value?.type === 'strings' ? value.texts : [textOf(values, attribute) ?? ''];
  return texts
    .filter(text => text !== '')
    .map(
      text =>
        parseObjectName(text) ??
        values.fail(attribute, `${JSON.stringify(text.slice(0, 120))} names no policy object`),
    );
}

function optionalText<K extends string>(key: K, text: string | undefined): Partial<Record<K, string>> {
  return text === undefined ? {} : ({ [key]: text } as Record<K, string>);
}

function optionalGuid(key: 'action' | 'actionType', text: string | undefined) {
  const id = text === undefined ? undefined : parseGuid(text);
  return id === undefined ? {} : { [key]: id };
}
