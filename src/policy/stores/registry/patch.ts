/**
 * Changing a `.reg` file of Windows without touching what is not changed: Windows leaves values and bytes in its objects
 * that nobody knows, and what was not asked for stays as it was, to the byte.
 */

import { toHex } from '../../../wire/bytes.js';
import type { PolicyCollection } from '../../document.js';
import type { PolicyNote } from '../../note.js';
import type { RegKey } from '../reg-file.js';
import { objectKey } from './objects.js';
import { localStorePath, objectsToReg, placeInStore, storePathOf } from './reg-store.js';
import { saveObjects } from './save.js';

export interface PatchedReg {
  readonly keys: readonly RegKey[];
  /** What a registry file cannot say of what is written. */
  readonly notes: readonly PolicyNote[];
}

/**
 * The keys of a file that held `before` and shall hold `after`: of each object only the values that differ between the
 * two are written. Throws as `saveObjects` does, and `StoreFormatError` for a file without a store.
 */
export function patchReg(
  keys: readonly RegKey[],
  before: PolicyCollection,
  after: PolicyCollection,
  nowSeconds: number,
): PatchedReg {
  const store = storePathOf(keys);
  const [old, now] = [savedKeys(before, nowSeconds), savedKeys(after, nowSeconds)];
  const left = new Map(now.keys);
  const patched = keys.flatMap(key => {
    const at = placeText(key.path, store);
    const [was, is] = [old.keys.get(at), now.keys.get(at)];
    left.delete(at);
    if (was === undefined) return [key];
    return is === undefined ? [] : [{ ...key, values: patchValues(key.values, was.values, is.values) }];
  });
  const added = [...left.values()].map(key => ({
    ...key,
    path: store + key.path.slice(localStorePath.length),
  }));
  return { keys: [...patched, ...added], notes: now.notes };
}

/** The keys an export would have, by the object they hold. */
function savedKeys(collection: PolicyCollection, nowSeconds: number) {
  const { graph, notes } = saveObjects(collection, { nowSeconds, printKey: key => key.reveal() });
  return { keys: new Map(objectsToReg(graph).map(key => [placeText(key.path, localStorePath), key])), notes };
}

function placeText(path: string, store: string): string | undefined {
  const place = placeInStore(path, store);
  return typeof place === 'object' ? objectKey(place) : place;
}

/** `values` with what changed from one export to the other; names are the same in any case. */
function patchValues(
  values: RegKey['values'],
  was: RegKey['values'],
  is: RegKey['values'],
): RegKey['values'] {
  const patched = new Map(values);
  for (const name of new Set([...was.keys(), ...is.keys()])) {
    const value = is.get(name);
    if (JSON.stringify(value, plain) === JSON.stringify(was.get(name), plain)) continue;
    const written = [...patched.keys()].find(each => each.toLowerCase() === name.toLowerCase()) ?? name;
    if (value === undefined) patched.delete(written);
    else patched.set(written, value);
  }
  return patched;
}

function plain(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? toHex(value) : value;
}
