import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Progress } from '../../src/report/progress.js';

function drawn(isTTY: boolean, stepMs: number): string {
  let text = '';
  let nowMs = 0;
  const stream = { isTTY, columns: 60, write: (more: string) => (text += more) };
  const progress = new Progress('building', 10, stream, () => nowMs);
  for (let i = 0; i < 10; i++) {
    nowMs += stepMs;
    progress.step();
  }
  progress.done();
  return text;
}

test('long work on a terminal draws a bar and takes it away', () => {
  const text = drawn(true, 100);
  assert.match(text, /building \[={16} {24}\] {2}40 %/);
  assert.match(text, /building \[={40}\] 100 %/);
  assert.ok(text.endsWith('\r\u001b[K'));
});

test('short work, and work without a terminal, draw nothing', () => {
  assert.equal(drawn(true, 1), '');
  assert.equal(drawn(false, 1000), '');
});
