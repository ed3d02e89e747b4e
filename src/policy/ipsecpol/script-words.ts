/**
 * Splits the text of a script into command lines and words. Quotes and line continuation work as in cmd.exe and as in
 * a POSIX shell where the two do not contradict each other; nothing is expanded.
 */
import { IpseckitError } from '../../report/errors.js';

/** Where something stands in a file; both count from 1. */
export interface TextPlace {
  readonly line: number;
  readonly column: number;
}

/** A word of a command line, without its quotes. */
export class ScriptWord {
  #text = '';
  /** Where runs of `text` begin in it, and in the script. */
  readonly #runs: (readonly [inText: number, inScript: number])[] = [];

  get text(): string {
    return this.#text;
  }

  /** Adds text that stands at an offset of the script; nothing marks the end of the word. */
  add(text: string, offset: number): void {
    this.#runs.push([this.#text.length, offset]);
    this.#text += text;
  }

  /** The offset in the script of a UTF-16 unit of `text`, or of its end. */
  offsetOf(index: number): number {
    const [inText, inScript] = this.#runs.findLast(([start]) => start <= index) ?? [0, 0];
    return inScript + (index - inText);
  }
}

/** A command line of a script: at least one word. */
export type ScriptWords = readonly [ScriptWord, ...ScriptWord[]];

/** Turns offsets in a text into lines and columns. */
export class LineIndex {
  readonly #starts: number[] = [0];

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#starts.push(at + 1);
  }

  place(offset: number): TextPlace {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 };
  }
}

/** A quote that is not closed. */
export class ScriptSyntaxError extends IpseckitError {
  readonly offset: number;

  constructor(message: string, offset: number, next: string) {
    super('USAGE', message, { next });
    this.offset = offset;
  }
}

/** Characters that mean something to cmd.exe, behind its escape. */
const escapedByCaret = new Set('^&|<>()%!"');
/** Characters that mean something to a shell, behind its escape. A quote is counted separately, the cmd.exe way. */
const escapedByBackslash = new Set(" \t*()[]'$&;#!|<>?`{}~");
/** Characters that mean nothing but themselves. */
const plain = /[^\s"'\\^]+/y;
const comment = /^(#|::|@?rem(\s|$))/i;

/**
 * The command lines of a script, without blank lines and comments (`#`, `rem`, `::`). Errors come out in place of the
 * line they are in: splitting goes on behind them.
 */
export function splitScript(text: string): (ScriptWords | ScriptSyntaxError)[] {
  const lines: (ScriptWords | ScriptSyntaxError)[] = [];
  for (let at = 0; at < text.length; ) {
    const start = skipBlanks(text, at);
    const lineEnd = endOfLine(text, start);
    if (comment.test(text.slice(start, lineEnd))) {
      at = lineEnd + 1;
      continue;
    }
    const line = new LineSplitter(text, start);
    const words = line.split();
    if (words instanceof ScriptSyntaxError) lines.push(words);
    else {
      const [first, ...rest] = words;
      if (first !== undefined) lines.push([first, ...rest]);
    }
    at = line.at;
  }
  return lines;
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at++;
  return at;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}

/** Length of the line end at `at`: 0, 1 or 2. */
function lineEndAt(text: string, at: number): number {
  if (text[at] === '\n') return 1;
  return text[at] === '\r' && text[at + 1] === '\n' ? 2 : 0;
}

/** One command line, up to the first line end that is not continued. */
class LineSplitter {
  /** Behind the line and its end when `split` has returned. */
  at: number;
  readonly #text: string;
  readonly #words: ScriptWord[] = [];
  #word: ScriptWord | undefined;

  constructor(text: string, at: number) {
    this.#text = text;
    this.at = at;
  }

  split(): ScriptWord[] | ScriptSyntaxError {
    const text = this.#text;
    while (this.at < text.length) {
      const character = text[this.at] ?? '';
      const end = lineEndAt(text, this.at);
      if (end > 0) {
        this.#endWord();
        this.at += end;
        break;
      }
      const next = text[this.at + 1] ?? '';
      if (character === ' ' || character === '\t' || character === '\r') {
        this.#endWord();
        this.at++;
      } else if ((character === '^' || character === '\\') && lineEndAt(text, this.at + 1) > 0)
        this.at += 1 + lineEndAt(text, this.at + 1);
      else if (character === '^' && escapedByCaret.has(next)) this.#take(1, next);
      else if (character === '\\' && escapedByBackslash.has(next)) this.#take(1, next);
      else if (character === '\\') this.#backslashes();
      else if (character === '"') {
        const error = this.#doubleQuoted();
        if (error !== undefined) return error;
      } else if (character === "'") {
        const error = this.#singleQuoted();
        if (error !== undefined) return error;
      } else this.#takePlain(character);
    }
    this.#endWord();
    return this.#words;
  }

  /** Adds a character that stands `skip` units ahead. */
  #take(skip: number, character: string): void {
    this.at += skip;
    this.#begin().add(character, this.at);
    this.at++;
  }

  #takePlain(character: string): void {
    plain.lastIndex = this.at;
    const [run = character] = plain.exec(this.#text) ?? [];
    this.#begin().add(run, this.at);
    this.at += run.length;
  }

  #begin(): ScriptWord {
    this.#word ??= new ScriptWord();
    return this.#word;
  }

  #endWord(): void {
    if (this.#word === undefined) return;
    this.#word.add('', this.at);
    this.#words.push(this.#word);
    this.#word = undefined;
  }

  /** Backslashes are themselves, but for those in front of a double quote: each two are one, an odd one escapes it. */
  #backslashes(): void {
    let count = 0;
    while (this.#text[this.at + count] === '\\') count++;
    if (this.#text[this.at + count] !== '"') {
      for (let i = 0; i < count; i++) this.#take(0, '\\');
      return;
    }
    for (let i = 0; i < count >> 1; i++) this.#take(1, '\\');
    if (count % 2 === 1) this.#take(1, '"');
  }

  #doubleQuoted(): ScriptSyntaxError | undefined {
    const opening = this.at++;
    this.#begin();
    for (;;) {
      const character = this.#text[this.at];
      if (character === undefined || lineEndAt(this.#text, this.at) > 0) return this.#unclosed('"', opening);
      if (character === '"') {
        this.at++;
        // Two quotes inside of quotes are one.
        if (this.#text[this.at] !== '"') return undefined;
        this.#take(0, '"');
      } else if (character === '\\') this.#backslashes();
      else this.#take(0, character);
    }
  }

  #singleQuoted(): ScriptSyntaxError | undefined {
    const opening = this.at++;
    this.#begin();
    for (;;) {
      const character = this.#text[this.at];
      if (character === undefined || lineEndAt(this.#text, this.at) > 0) return this.#unclosed("'", opening);
      if (character === "'") {
        this.at++;
        return undefined;
      }
      this.#take(0, character);
    }
  }

  #unclosed(quote: string, opening: number): ScriptSyntaxError {
    const end = endOfLine(this.#text, this.at);
    this.at = end + 1;
    return new ScriptSyntaxError(
      `the quote ${quote} is not closed on its line`,
      opening,
      quote === '"'
        ? 'close it; inside of quotes write "" or \\" for a quote itself'
        : "close it; write \\' for an apostrophe, or put the word in double quotes",
    );
  }
}
