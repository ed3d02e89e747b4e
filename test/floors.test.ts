import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

/** The rooms and their floors (ARCHITECTURE.md): a file imports from its own room or from a lower floor. */
const floors: Record<string, number> = {
  'src/wire': 0,
  'src/crypto': 1,
  'src/report': 1,
  'src/policy': 2,
  'src/ike': 2,
  'src/driver': 2,
  'src/l2tp': 2,
  'src/agent': 3,
  'src/monitor': 4,
  'src/diag': 5,
  'src/cli': 6,
  'src/index.ts': 6,
  commands: 7,
  bin: 8,
};

/** Type-only boundaries that rooms of floor 2 may share. */
const sharedTypes = ['src/driver/api.ts', 'src/policy/model.ts'];

const roomOf = (file: string) =>
  Object.keys(floors).find(room => file === room || file.startsWith(`${room}/`));

function importsOf(file: string): { target: string; typeOnly: boolean }[] {
  const text = readFileSync(file, 'utf8');
  const pattern = /^(?:import|export)\s+(type\s)?[^;]*?from\s+'(\.[^']+)'|import\('(\.[^']+)'\)/gms;
  return [...text.matchAll(pattern)].map(match => ({
    target: relative('.', resolve(dirname(file), match[2] ?? match[3] ?? '')).replace(/\.js$/, '.ts'),
    typeOnly: match[1] !== undefined,
  }));
}

test('every import goes to the same room or a lower floor', () => {
  const files = ['src', 'commands'].flatMap(root =>
    readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.ts'))
      .map(name => join(root, name)),
  );
  assert.ok(files.length > 5, 'found the sources');
  const broken: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    if (room === undefined) {
      broken.push(`${file}: in no room`);
      continue;
    }
    for (const { target, typeOnly } of importsOf(file)) {
      const other = roomOf(target);
      const allowed =
        other === room ||
        (other !== undefined && (floors[other] ?? 99) < (floors[room] ?? -1)) ||
        (typeOnly && sharedTypes.includes(target));
      if (!allowed) broken.push(`${file} -> ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});
