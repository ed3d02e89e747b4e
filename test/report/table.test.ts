import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isColourTerminal, renderTable } from '../../src/report/table.js';

test('columns line up, numbers to the right, nothing but text', () => {
  const table = renderTable(
    [{ title: 'Name' }, { title: 'Rules', align: 'right' }, { title: 'Id' }],
    [
      ['Lab', '12', 'x'],
      ['A longer name', '3', ''],
    ],
  );
  assert.deepEqual(table.split('\n'), [
    'Name           Rules  Id',
    'Lab               12  x',
    'A longer name      3',
  ]);
});

test('titles are bold on a terminal only', () => {
  assert.equal(renderTable([{ title: 'Name' }], [['Lab']], true), '\u001b[1mName\u001b[22m\nLab');
  assert.equal(isColourTerminal({ isTTY: false }), false);
});
