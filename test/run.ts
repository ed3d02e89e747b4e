/**
 * `npm test`: runs every compiled test file with Node's own runner. Unit tests run side by side; the suites in
 * `peers/` own network namespaces and processors, so they run one by one after them.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.js'))
  .filter(name => wanted.length === 0 || wanted.some(part => name.includes(part)))
  .sort()
  .map(name => join(here, name));
const peers = files.filter(file => file.includes('/peers/'));
const units = files.filter(file => !file.includes('/peers/'));

let failed = false;
for (const [group, concurrency] of [
  [units, 2],
  [peers, 1],
] as const) {
  if (group.length === 0) continue;
  const args = ['--test', `--test-concurrency=${concurrency}`, '--test-reporter=spec', ...group];
  if (spawnSync(process.execPath, args, { stdio: 'inherit' }).status !== 0) failed = true;
}
process.exitCode = failed ? 1 : 0;
