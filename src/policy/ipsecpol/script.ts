/** Scripts of `ipsecpol` command lines (`-file`): parsing, and saying where in the file something is wrong. Pure. */
import { IpseckitError } from '../../report/errors.js';
import type { IpsecpolCommand } from './command.js';
import { parseIpsecpol } from './parse.js';
import { ArgumentError } from './piece.js';
import {
  LineIndex,
  ScriptSyntaxError,
  type ScriptWord,
  type ScriptWords,
  splitScript,
  type TextPlace,
} from './script-words.js';

/** How many mistakes one run lists. */
const mostErrors = 10;

/** One command of a script. */
export interface ScriptCommand {
  readonly command: IpsecpolCommand;
  /** The line the command starts on, counted from 1. */
  readonly line: number;
  /** An error of this command, with file, line and column; `about` is text of it that is to blame. */
  error(error: IpseckitError, about?: string): ScriptError;
}

/** Something wrong in a script: `rules.txt:12:34: bad filter spec …`. */
export class ScriptError extends IpseckitError {
  readonly file: string;
  readonly place: TextPlace;

  constructor(error: IpseckitError, file: string, place: TextPlace, message = error.message) {
    super(error.code, `${file}:${place.line}:${place.column}: ${message}`, {
      ...(error.next === undefined ? {} : { next: error.next }),
      cause: error,
    });
    this.file = file;
    this.place = place;
  }

  override toJSON() {
    return { ...super.toJSON(), file: this.file, ...this.place };
  }
}

/** Several mistakes as one error, of the first one's class. */
export function scriptErrors(errors: readonly IpseckitError[]): IpseckitError {
  const [first] = errors;
  if (first === undefined) throw new RangeError('there is no error');
  return errors.length === 1 ? first : new ScriptErrors(first, errors);
}

class ScriptErrors extends IpseckitError {
  readonly errors: readonly IpseckitError[];

  constructor(first: IpseckitError, errors: readonly IpseckitError[]) {
    const shown = errors.slice(0, mostErrors).map(({ message }) => message);
    const more = errors.length > mostErrors ? [`and ${errors.length - mostErrors} more`] : [];
    super(first.code, [...shown, ...more].join('\n'), {
      next: `${first.next === undefined ? '' : `${first.next}; `}nothing was changed`,
    });
    this.errors = errors;
  }

  override toJSON() {
    return { ...super.toJSON(), errors: this.errors.map(error => error.toJSON()) };
  }
}

/**
 * The commands of a script. A line may begin with the program's name (`ipsecpol`, `ipseccmd.exe`, a path to either,
 * `ipseckit ipsecpol`). Nothing is resolved, read or looked up. Throws `ScriptError` or an error that lists all of
 * them. `onLine` hears of every line, for a progress bar.
 */
export function parseScript(text: string, file: string, onLine: () => void = () => {}): ScriptCommand[] {
  const index = new LineIndex(text);
  const commands: ScriptCommand[] = [];
  const errors: ScriptError[] = [];
  for (const line of splitScript(text)) {
    onLine();
    if (line instanceof ScriptSyntaxError) {
      errors.push(new ScriptError(line, file, index.place(line.offset)));
      continue;
    }
    const words = withoutProgram(line);
    const locate = (error: IpseckitError, about?: string) =>
      locateError(error, { file, index, line, words, about });
    try {
      commands.push({
        command: parseLine(words),
        line: index.place(line[0].offsetOf(0)).line,
        error: locate,
      });
    } catch (error) {
      if (!(error instanceof IpseckitError)) throw error;
      errors.push(locate(error));
    }
  }
  if (errors.length > 0) throw scriptErrors(errors);
  return commands;
}

function parseLine(words: readonly ScriptWord[]): IpsecpolCommand {
  const request = parseIpsecpol(words.map(word => word.text));
  if (request.kind === 'static' || request.kind === 'dynamic') return request;
  throw new IpseckitError(
    'USAGE',
    request.kind === 'file' ? 'a script cannot run another script' : 'this line does nothing',
    { next: 'write the flags of one rule, or delete the line' },
  );
}

interface LineOfScript {
  readonly file: string;
  readonly index: LineIndex;
  /** As written, and without the program's name. */
  readonly line: ScriptWords;
  readonly words: readonly ScriptWord[];
  readonly about?: string | undefined;
}

function locateError(error: IpseckitError, { file, index, line, words, about }: LineOfScript): ScriptError {
  if (error instanceof ArgumentError) {
    const word = words[error.place.argument - 1] ?? line[0];
    const offset = word.offsetOf((error.place.column ?? 1) - 1);
    return new ScriptError(error, file, index.place(offset), error.bareMessage);
  }
  const blamed = about === undefined ? undefined : words.find(({ text }) => text.includes(about));
  const offset =
    blamed === undefined ? line[0].offsetOf(0) : blamed.offsetOf(blamed.text.indexOf(about ?? ''));
  return new ScriptError(error, file, index.place(offset));
}

function withoutProgram(words: readonly ScriptWord[]): readonly ScriptWord[] {
  const isTool = (at: number) => ['ipsecpol', 'ipseccmd'].includes(programName(words[at]?.text ?? ''));
  if (programName(words[0]?.text ?? '') === 'ipseckit' && isTool(1))
    return words.slice(words[2]?.text === '--' ? 3 : 2);
  return isTool(0) ? words.slice(1) : words;
}

/** `@C:\Tools\IPSecPol.exe` is `ipsecpol`; a computer's name is none. */
function programName(word: string): string {
  if (/^\\\\[^\\/]*$/.test(word)) return '';
  return word
    .replace(/^@/, '')
    .replace(/^.*[\\/]/, '')
    .replace(/\.(exe|js)$/i, '')
    .toLowerCase();
}
