import { IpseckitError } from '../../report/errors.js';
import { type FlagName, findFlag, flag } from './flags.js';
import { ArgumentError, Piece, quoted } from './piece.js';

/** A command line sorted by flag: the host in front, and each flag's values in the order they were written. */
export interface SortedArguments {
  readonly host?: string;
  /** A flag that takes nothing is there with no values. */
  readonly values: ReadonlyMap<FlagName, readonly Piece[]>;
}

/** Sorts a command line. Throws `IpseckitError` (USAGE, CONFLICT) for unknown words and missing or surplus values. */
export function sortArguments(argv: readonly string[]): SortedArguments {
  const values = new Map<FlagName, Piece[]>();
  let host: string | undefined;
  let current: FlagName | undefined;
  for (const [index, word] of argv.entries()) {
    const name = findFlag(word);
    if (name !== undefined) {
      checkComplete(current, values);
      if (flag(name).takes === 'one' && values.has(name) && name !== '-r') throw twice(name, index);
      current = name;
      if (name === '-r')
        values.set(name, [...(values.get(name) ?? []), new Piece('rule name', '', index + 1)]);
      else if (!values.has(name)) values.set(name, []);
      continue;
    }
    // Keys stand behind -a: nothing there is ever repeated in a message.
    const shown = current === '-a' ? '' : ` ${quoted(word)}`;
    if (word.startsWith('-') && !(word === '-' && current === '-file')) throw unknown(`flag${shown}`, index);
    if (word.startsWith('\\')) {
      if (index !== 0)
        throw new ArgumentError(
          'USAGE',
          `the computer${shown}`,
          { argument: index + 1 },
          'it must come first',
          'write ipsecpol \\\\computer, then the flags',
        );
      host = parseComputer(word);
      continue;
    }
    const taker = current === undefined ? undefined : flag(current);
    if (current === undefined || taker?.value === undefined) throw unknown(`word${shown}`, index);
    const pieces = values.get(current) ?? [];
    const piece = new Piece(taker.value.what, word, index + 1);
    if (current === '-r' && pieces.at(-1)?.length === 0) pieces.pop();
    else if (taker.takes === 'one' && pieces.length > 0) throw surplus(current, shown, index);
    pieces.push(piece);
    values.set(current, pieces);
  }
  checkComplete(current, values);
  return { values, ...(host === undefined ? {} : { host }) };
}

function parseComputer(word: string): string {
  // A shell without quotes has already taken one of the two backslashes.
  const name = word.replace(/^\\{1,2}/, '');
  if (!/^[a-z\d]([a-z\d._-]*[a-z\d])?$/i.test(name))
    throw new ArgumentError(
      'USAGE',
      `bad computer name ${quoted(word)}`,
      { argument: 1 },
      '',
      "write '\\\\name' or '\\\\address', quoted for the shell",
    );
  return name;
}

/** A flag that takes values must have one behind it, each time it is written. */
function checkComplete(name: FlagName | undefined, values: ReadonlyMap<FlagName, readonly Piece[]>): void {
  if (name === undefined) return;
  const { value } = flag(name);
  const pieces = values.get(name) ?? [];
  const missing = pieces.length === 0 || (name === '-r' && pieces.at(-1)?.length === 0);
  if (value !== undefined && missing)
    throw new IpseckitError('USAGE', `${name} needs a ${value.what}`, {
      next: `write ${name} ${value.name}`,
    });
}

function unknown(what: string, index: number): IpseckitError {
  return new ArgumentError(
    'USAGE',
    `unknown ${what}`,
    { argument: index + 1 },
    '',
    'run "ipsecpol -?" for the flags; quote names with blanks, and filter specs for the shell',
  );
}

function twice(name: FlagName, index: number): IpseckitError {
  return new ArgumentError(
    'CONFLICT',
    `${name} stands twice`,
    { argument: index + 1 },
    '',
    `give ${name} once`,
  );
}

function surplus(name: FlagName, shown: string, index: number): IpseckitError {
  return new ArgumentError(
    'USAGE',
    `${name} takes one value; surplus word${shown}`,
    { argument: index + 1 },
    '',
    'quote names with blanks',
  );
}
