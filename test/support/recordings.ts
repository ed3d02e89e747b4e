/** Negotiations of two strongSwans, recorded by `test/lab/record-negotiations.ts`. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type IkeKeys, parseIkeKeys } from '../../src/diag/replay/key-table.js';

/** What they were configured with; the other side of a failing one had something else. */
export const recordedPsk = 'a preshared key';
export const recordedPassword = 'ann has a password';

export interface Recording {
  readonly path: string;
  readonly file: Uint8Array;
  /** The initiator's. */
  readonly keys: IkeKeys;
}

export function recording(name: string): Recording {
  const path = resolve('test/fixtures/replay', `${name}.pcap`);
  const keys = parseIkeKeys(readFileSync(path.replace(/pcap$/, 'keys'), 'utf8'));
  return { path, file: readFileSync(path), keys };
}

/** The CA that the recorded certificates are under, PEM. */
export const recordedRoot = resolve('test/fixtures/replay', 'root.pem');
