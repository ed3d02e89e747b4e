/** Runs whole test files inside User Mode Linux, in one boot, and reports each of their tests as a test out here. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needs, type Program } from './needs.js';
import { runInUml } from './uml.js';

/** A test that ended inside the machine. */
export interface UmlTest {
  readonly name: string;
  readonly milliseconds: number;
  readonly skipped?: string;
  readonly error?: string;
}

export interface UmlSuite {
  /** Compiled test files, relative to the repository. */
  readonly files: readonly string[];
  readonly needs: readonly Program[];
  readonly timeoutSeconds: number;
}

/**
 * Declares a test that boots one machine, runs all files in it, one after the other, and has a subtest for each test
 * in them. `LAB_VERBOSE=1` shows the machine's console as it goes.
 */
export function umlSuite(title: string, suite: UmlSuite): void {
  const skip = needs('linux.uml', ...suite.needs);
  test(title, { skip, timeout: (suite.timeoutSeconds + 30) * 1000 }, async t => {
    const folder = mkdtempSync('/var/tmp/ipseckit-uml-results-');
    const results = join(folder, 'tests.jsonl');
    try {
      const { exitCode, timedOut, output } = await runInUml(nodeTest(suite.files, results), {
        timeoutSeconds: suite.timeoutSeconds,
        ...(process.env.LAB_VERBOSE === '1' ? { onOutput: text => process.stderr.write(text) } : {}),
      });
      const ended = readTests(results);
      for (const one of ended) {
        await t.test(`${one.name} (${one.milliseconds} ms)`, { skip: one.skipped ?? false }, () => {
          if (one.error !== undefined) throw errorOf(one.error);
        });
      }
      const tail = output.slice(-20_000);
      assert.ok(!timedOut, `not finished after ${suite.timeoutSeconds} s:\n${tail}`);
      if (ended.every(one => one.error === undefined)) {
        assert.equal(exitCode, 0, `the tests inside ended with ${exitCode}:\n${tail}`);
      }
      assert.ok(ended.length > 0, `no test ran:\n${tail}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** An error with the stack of inside: where it was thrown out here says nothing. */
function errorOf(stack: string): Error {
  const error = new Error(stack.split('\n', 1)[0]);
  error.stack = stack;
  return error;
}

function nodeTest(files: readonly string[], results: string): string[] {
  const reporter = './dist/test/lab/uml/reporter.js';
  return [
    ...[process.execPath, '--test', '--test-concurrency=1'],
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...[`--test-reporter=${reporter}`, `--test-reporter-destination=${results}`],
    ...files,
  ];
}

function readTests(file: string): UmlTest[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line.endsWith('}'))
    .map((line): UmlTest => JSON.parse(line));
}
