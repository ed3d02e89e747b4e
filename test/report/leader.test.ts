import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leader } from '../../src/report/leader.js';

test('dots lead as in the published lines', () => {
  for (const [line, width] of [
    ['Kerberos test. . . . . . . . . . . : ', 34],
    ['DC list test . . . . . . . . . . . : ', 34],
    ['IP Security test . . . . . . . . . : ', 34],
    ['Netcard queries test . . . : ', 26],
    ['Host Name. . . . . . . . . : ', 26],
    ['IP Address . . . . . . . . : ', 26],
    ['WINS service test. . . . . : ', 26],
    ['AutoConfiguration results. . . . . . : ', 36],
    ['Autoconfiguration IP Address : ', 26],
  ] as const) {
    const [title = ''] = line.split(/ ?\. | : /);
    assert.equal(leader(title.replace(/\.$/, ''), width), line);
  }
});
