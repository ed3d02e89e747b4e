import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonErrorOffset, textPosition } from '../../../src/policy/stores/json-position.js';
import { SeededRandom } from '../../support/random.js';

test('finds where text stops being JSON', () => {
  const cases: readonly (readonly [text: string, offset: number])[] = [
    ['', 0],
    ['{', 1],
    ['{"a":1,}', 7],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['{"a" 1}', 5],
    ['{a:1}', 1],
    ['nul', 0],
    ['01', 1],
    ['"a\nb"', 0],
    ['{} x', 3],
    ['[}', 1],
    ['{"a":"b', 5],
  ];
  for (const [text, offset] of cases) assert.equal(jsonErrorOffset(text), offset, text);
  assert.equal(textPosition('ab\ncd', 4), 'line 2, column 2');
});

test('agrees with JSON.parse about what is JSON', t => {
  const seed = 5;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"\\u00e9"',
    '1',
    '-2.5e3',
    'true',
    'null',
    ' ',
    '\n',
    '0',
    '"',
  ];
  let valid = 0;
  for (let i = 0; i < 50_000; i++) {
    const text = Array.from({ length: random.between(1, 7) }, () => random.pick(pieces)).join('');
    let parses = true;
    try {
      JSON.parse(text);
    } catch {
      parses = false;
    }
    if (parses) valid++;
    else assert.ok(jsonErrorOffset(text) <= text.length);
    // What parses runs to its end; so may text that only lacks one.
    if (parses) assert.equal(jsonErrorOffset(text), text.length, text);
  }
  assert.ok(valid > 500, `${valid} were JSON`);
});
