/** The two file formats that hold a whole store: registry files and JSON. Pure: bytes to policies and back. */
import { extname } from 'node:path';
import type { Secret } from '../../crypto/secret.js';
import { collectionFromDocument, collectionToDocument, type PolicyCollection } from '../document.js';
import { maskedKey } from '../ipsecpol/authentication.js';
import type { Policy } from '../model.js';
import type { PolicyNote } from '../note.js';
import { SchemaError } from '../schema.js';
import { StoreFormatError } from './format-error.js';
import { jsonErrorOffset, textPosition } from './json-position.js';
import { parseRegFile, printRegFile } from './reg-file.js';
import { type DamageCosts, type LoadedPolicies, loadObjects } from './registry/load.js';
import { objectsFromReg, objectsToReg } from './registry/reg-store.js';
import { saveObjects } from './registry/save.js';
import { decodeText, encodeUtf16 } from './text-encoding.js';

export type StoreFormat = 'reg' | 'json';

/**
 * The policies in a file; `damage`: what an object of a registry file costs that cannot be read. Throws `StoreFormatError`: the line and column, or the key, value and offset, and what is
 * wrong there; no message repeats a value that may hold keys.
 */
export function parseStoreFile(
  bytes: Uint8Array,
  format: StoreFormat,
  damage: DamageCosts = 'all',
): LoadedPolicies {
  const loaded =
    format === 'reg'
      ? loadObjects(objectsFromReg(parseRegFile(bytes)), damage)
      : { collection: parseJson(decodeText(bytes)), notes: [], lostRules: [] };
  for (const policy of loaded.collection.policies) refuseMaskedKeys(policy);
  return loaded;
}

export interface PrintStoreOptions {
  /** Without keys a mask stands for each, and such a file is not read back. */
  readonly keys: 'shown' | 'masked';
  readonly nowSeconds: number;
}

export interface PrintedStore {
  readonly text: string;
  /** The file as the tools of its platform write it. */
  readonly bytes: Uint8Array;
  readonly notes: readonly PolicyNote[];
}

/** The file of these policies. Throws `IpseckitError` (UNSUPPORTED) for what a registry file has no room for. */
export function printStoreFile(
  collection: PolicyCollection,
  format: StoreFormat,
  { keys, nowSeconds }: PrintStoreOptions,
): PrintedStore {
  const printKey = (key: Secret<string>) => (keys === 'shown' ? key.reveal() : maskedKey);
  if (format === 'reg') {
    const { graph, notes } = saveObjects(collection, { nowSeconds, printKey });
    const text = printRegFile(objectsToReg(graph));
    return { text, bytes: encodeUtf16(text), notes };
  }
  const text = `${JSON.stringify(collectionToDocument(collection, printKey), null, 2)}\n`;
  return { text, bytes: Buffer.from(text, 'utf8'), notes: [] };
}

/** The format of a file by its ending, or by how it begins; `undefined` when neither says. */
export function detectFormat(path: string, bytes: Uint8Array): StoreFormat | 'ipsecpol' | undefined {
  const endings: Readonly<Record<string, StoreFormat | 'ipsecpol'>> = {
    '.reg': 'reg',
    '.json': 'json',
    '.ipsecpol': 'ipsecpol',
    '.txt': 'ipsecpol',
    '.cmd': 'ipsecpol',
    '.bat': 'ipsecpol',
    '.sh': 'ipsecpol',
  };
  const byEnding = endings[extname(path).toLowerCase()];
  if (byEnding !== undefined) return byEnding;
  const start = decodeText(bytes.subarray(0, 128)).trimStart();
  if (/^(REGEDIT4|Windows Registry Editor)/i.test(start)) return 'reg';
  if (start.startsWith('{')) return 'json';
  return /^@?(ipsecpol|ipseccmd)/i.test(start) ? 'ipsecpol' : undefined;
}

function parseJson(text: string): PolicyCollection {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw text.trim() === ''
      ? new StoreFormatError('', 'the file is empty')
      : new StoreFormatError(textPosition(text, jsonErrorOffset(text)), 'this is no JSON');
  }
  try {
    return collectionFromDocument(value);
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new StoreFormatError('', error.message);
  }
}

/** A file made for looking at has no keys: its mask must not become one. */
function refuseMaskedKeys({ name, rules }: Policy): void {
  for (const [i, { name: rule, authentication }] of rules.entries())
    if (authentication.some(method => method.kind === 'preshared' && method.key.reveal() === maskedKey))
      throw new StoreFormatError(
        `policy '${name}', rule ${rule === undefined ? i + 1 : `'${rule}'`}`,
        'its preshared key was left out when the file was written; export it with its keys',
      );
}
