import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeWholeFile } from '../../../src/policy/stores/whole-file.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-whole-'));
after(() => rmSync(folder, { recursive: true }));

test('a device is written to, and stays one', () => {
  const path = join(folder, 'null');
  symlinkSync('/dev/null', path);
  writeWholeFile(path, 'text');
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.deepEqual(readdirSync(folder), ['null']);
});

test('standard output takes what is written to /dev/stdout', () => {
  const module = new URL('../../../src/policy/stores/whole-file.js', import.meta.url).href;
  const link = join(folder, 'stdout');
  symlinkSync('/dev/stdout', link);
  const code = `import(${JSON.stringify(module)}).then(m => m.writeWholeFile(${JSON.stringify(link)}, 'text'))`;
  // Through a pipe: Node gives its children sockets, which nobody can open.
  const pipeline = ['-c', '"$0" -e "$1" | cat', process.execPath, code];
  const { stdout, stderr } = spawnSync('sh', pipeline, { encoding: 'utf8' });
  assert.equal(stdout, 'text', stderr);
});

test('a file that is there is replaced, with the mode asked for', () => {
  const path = join(folder, 'file');
  writeFileSync(path, 'old', { mode: 0o644 });
  writeWholeFile(path, 'new');
  assert.equal(readFileSync(path, 'utf8'), 'new');
  assert.equal(lstatSync(path).mode & 0o777, 0o600);
});
