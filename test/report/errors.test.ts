import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorClasses, IpseckitError } from '../../src/report/errors.js';

test('the README documents exactly the exit codes there are', () => {
  const rows = [
    ...readFileSync('README.md', 'utf8').matchAll(/^\|\s*(\d+)\s*\|\s*([A-Z_]+)\s*\|\s*(.*?)\s*\|$/gm),
  ];
  assert.deepEqual(
    rows.map(([, exitCode, code, meaning]) => [Number(exitCode), code, meaning]),
    Object.entries(errorClasses).map(([code, { exitCode, meaning }]) => [exitCode, code, meaning]),
  );
});

test('exit codes are unique', () => {
  const codes = Object.values(errorClasses).map(({ exitCode }) => exitCode);
  assert.equal(new Set(codes).size, codes.length);
});

test('an error as JSON carries what a script needs, and no stack', () => {
  const error = new IpseckitError('STORE', "policy 'P' not found", {
    next: 'list them',
    cause: new Error('inner'),
  });
  assert.deepEqual(JSON.parse(JSON.stringify(error)), {
    code: 'STORE',
    message: "policy 'P' not found",
    next: 'list them',
    exitCode: 6,
  });
});
