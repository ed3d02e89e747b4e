import { readdirSync, readFileSync } from 'node:fs';
import { fromHex } from '../../src/wire/bytes.js';

/** Bytes kept as hexadecimal text, with what the `# key: value` comment lines before them say. */
export interface HexFixture {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly notes: ReadonlyMap<string, string>;
}

/** The `.hex` files of a folder below `test/fixtures`, by name. */
export function hexFixtures(folder: string): HexFixture[] {
  return readdirSync(`test/fixtures/${folder}`)
    .filter(file => file.endsWith('.hex'))
    .sort()
    .map(file => hexFixture(`${folder}/${file.replace(/\.hex$/, '')}`));
}

/** One `.hex` file; `path` is below `test/fixtures`, without the ending. */
export function hexFixture(path: string): HexFixture {
  const lines = readFileSync(`test/fixtures/${path}.hex`, 'utf8').split('\n');
  const notes = lines.flatMap(line => {
    const [, key, value] = /^# ([^:]+): (.*)$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [[key, value] as const];
  });
  return {
    name: path,
    bytes: fromHex(lines.filter(line => !line.startsWith('#')).join('')),
    notes: new Map(notes),
  };
}
