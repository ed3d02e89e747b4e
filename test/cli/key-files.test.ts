import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { KeyFiles } from '../../src/cli/key-files.js';
import { runCommand } from '../../src/cli/one-shot.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { staticEnds } from '../support/static-pair.js';

const folder = mkdtempSync(join(tmpdir(), 'ipseckit-key-files-'));
after(() => rmSync(folder, { recursive: true }));

const staticPair = {
  kind: 'sa',
  pair: staticEnds(
    {
      ...{ name: 'pair', mode: 'tunnel', esp: { encryption: 'aes128', hash: 'sha1' } },
      ...{ one: ipAddress('192.0.2.1'), other: ipAddress('192.0.2.2') },
    },
    1,
  ).one.pair,
} as const;

test('keys go only where nobody else reads them', () => {
  const files = new KeyFiles(folder);
  const add = (table: 'esp_sa' | 'ikev1_decryption_table', line: string) =>
    files.writeLines([{ table, line }]);
  add('esp_sa', 'one');
  add('esp_sa', 'two');
  const path = join(folder, 'esp_sa');
  assert.equal(readFileSync(path, 'utf8'), 'one\ntwo\n');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const complaints: string[] = [];
  rmSync(path);
  mkdirSync(path);
  files.write(staticPair, error => complaints.push(error.message));
  assert.match(complaints.join(), /cannot write .*esp_sa/);
  rmSync(path, { recursive: true });
  writeFileSync(path, '');
  chmodSync(path, 0o644);
  assert.throws(() => new KeyFiles(folder), { code: 'ACCESS_DENIED', message: /others may read/ });
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
