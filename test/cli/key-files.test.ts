import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KeyFiles } from '../../src/cli/key-files.js';
import { runCommand } from '../../src/cli/one-shot.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-key-files-'));
after(() => rmSync(folder, { recursive: true }));

test('keys go only where nobody else reads them', () => {
  const files = new KeyFiles(folder);
  const add = (table: 'esp_sa' | 'ikev1_decryption_table', line: string) =>
    files.writeLines([{ table, line }]);
  add('esp_sa', 'one');
  add('esp_sa', 'two');
  const path = join(folder, 'esp_sa');
  assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const other = join(folder, 'ikev1_decryption_table');
  writeFileSync(other, '');
  chmodSync(other, 0o644);
  assert.throws(() => add('ikev1_decryption_table', 'key'), {
    code: 'ACCESS_DENIED',
    message: /others may read/,
  });
  assert.equal(readFileSync(other, 'utf8'), '');
  assert.throws(() => new KeyFiles(path), { code: 'STORE', message: /cannot write/ });
});

test('a command that a signal ends has the exit code a shell gives it', async () => {
  for (const [signal, code] of [
    ['HUP', 129],
    ['SEGV', 139],
    ['TERM', 143],
  ] as const)
    assert.equal(await runCommand(['sh', '-c', `kill -${signal} $$`]), code);
});
