/**
 * `npm test`: runs every compiled test file with Node's own runner, two at a time: unit tests first, then the suites in
 * `peers/`, of which those that boot machines begin, since they take longest. Arguments choose files by a part of their
 * names. The last line is `N passed, N failed, N skipped`; what was skipped is named before it.
 */
import { readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

interface Totals {
  passed: number;
  failed: number;
  readonly skipped: string[];
}

/** Node's own counts, by the words of its closing summary. */
const counters: Readonly<Record<string, 'passed' | 'failed'>> = {
  pass: 'passed',
  fail: 'failed',
  cancelled: 'failed',
};

const here = dirname(fileURLToPath(import.meta.url));
const wanted = process.argv.slice(2);
const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.js'))
  .filter(name => wanted.length === 0 || wanted.some(part => name.includes(part)))
  .sort()
  .map(name => join(here, name));
const bootsMachines = (file: string) => /(strongswan-kernel|xfrm|libreswan)\.test\.js$/.test(file);
const peers = files
  .filter(file => file.includes('/peers/'))
  .sort((a, b) => Number(bootsMachines(b)) - Number(bootsMachines(a)));
const units = files.filter(file => !file.includes('/peers/'));

const totals: Totals = { passed: 0, failed: 0, skipped: [] };
await runFiles(units, totals);
await runFiles(peers, totals);

for (const name of totals.skipped) console.log(`SKIPPED ${name}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped.length} skipped`);
if (files.length === 0) console.error(`no test file matches ${wanted.join(' ')}`);
process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;

async function runFiles(group: string[], sum: Totals): Promise<void> {
  if (group.length === 0) return;
  const events = run({ files: group, concurrency: 2 });
  events.on('test:diagnostic', ({ message, nesting }) => {
    const [word = '', count] = message.split(' ');
    const counter = counters[word];
    if (nesting === 0 && counter !== undefined) sum[counter] += Number(count);
  });
  events.on('test:pass', ({ name, file, skip }) => {
    if (skip === undefined) return;
    const reason = typeof skip === 'string' ? `: ${skip}` : '';
    sum.skipped.push(`${file === undefined ? '' : `${relative('.', file)}: `}${name}${reason}`);
  });
  const output = events.compose(new spec());
  output.pipe(process.stdout, { end: false });
  await finished(output);
}
