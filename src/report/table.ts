import Table from 'cli-table3';

export interface Column {
  readonly title: string;
  /** Numbers read best to the right; left when absent. */
  readonly align?: 'left' | 'right';
}

/**
 * A table without lines, columns two blanks apart, for people who compare; nothing but text, so it reads the same in
 * a pipe. `bold` sets the titles off, for a terminal.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  bold = false,
): string {
  const none = '';
  const table = new Table({
    head: columns.map(({ title }) => (bold ? `\u001b[1m${title}\u001b[22m` : title)),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    chars: {
      ...{ top: none, 'top-mid': none, 'top-left': none, 'top-right': none },
      ...{ bottom: none, 'bottom-mid': none, 'bottom-left': none, 'bottom-right': none },
      ...{ left: none, 'left-mid': none, mid: none, 'mid-mid': none },
      ...{ right: none, 'right-mid': none, middle: '  ' },
    },
  });
  table.push(...rows.map(row => [...row]));
  return table
    .toString()
    .split('\n')
    .map(line => line.trimEnd())
    .join('\n');
}

/** Whether a stream shows escape sequences to a person. `NO_COLOR` (no-color.org) switches them off. */
export function isColourTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}
