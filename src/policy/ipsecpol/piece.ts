import { type ErrorCode, IpseckitError } from '../../report/errors.js';

/** Makes text from a command line safe and short enough to stand in a message. */
export function quoted(text: string): string {
  const printable = [...text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '?')];
  return `'${printable.length > 80 ? `${printable.slice(0, 79).join('')}…` : printable.join('')}'`;
}

/** Where a mistake stands on a command line: the argument counted from 1, the column in it if it matters. */
export interface ArgumentPlace {
  readonly argument: number;
  readonly column?: number;
  /** Said beside the place: `not shown`. */
  readonly remark?: string;
}

/** A mistake in one argument. `at` says the same of a place in a file. */
export class ArgumentError extends IpseckitError {
  readonly place: ArgumentPlace;
  /** What is wrong with it; may be empty. */
  readonly problem: string;
  readonly #what: string;

  /** `what` is wrong at `place`; `problem` says why, and may be empty. */
  constructor(code: ErrorCode, what: string, place: ArgumentPlace, problem: string, next: string) {
    const { argument, column, remark } = place;
    const places = [
      `argument ${argument}`,
      ...(column === undefined ? [] : [`column ${column}`]),
      ...(remark === undefined ? [] : [remark]),
    ];
    super(code, `${what} (${places.join(', ')})${problem === '' ? '' : `: ${problem}`}`, { next });
    this.place = place;
    this.#what = what;
    this.problem = problem;
  }

  /** The message without its place. */
  get bareMessage(): string {
    return this.problem === '' ? this.#what : `${this.#what}: ${this.problem}`;
  }
}

/**
 * A part of one command line argument that knows where it stands, so that whoever finds it wrong can say so with
 * argument and column.
 */
export class Piece {
  /** What the whole argument is meant to be: `filter spec`. */
  readonly what: string;
  /** The whole argument. */
  readonly argument: string;
  /** Counted from 1, without the program's name. */
  readonly argumentNumber: number;
  readonly #start: number;
  readonly #end: number;

  constructor(what: string, argument: string, argumentNumber: number, start = 0, end = argument.length) {
    this.what = what;
    this.argument = argument;
    this.argumentNumber = argumentNumber;
    this.#start = start;
    this.#end = end;
  }

  get text(): string {
    return this.argument.slice(this.#start, this.#end);
  }

  get length(): number {
    return this.#end - this.#start;
  }

  /** The piece from `start` to `end`, counted in this piece. */
  part(start: number, end = this.length): Piece {
    return new Piece(
      this.what,
      this.argument,
      this.argumentNumber,
      this.#start + start,
      Math.min(this.#end, this.#start + end),
    );
  }

  /** The pieces between the separators; one more than there are separators. */
  split(separator: string): [Piece, ...Piece[]] {
    const ends = indexesOf(this.text, separator);
    const starts = ends.map(end => end + separator.length);
    return [this.part(0, ends[0]), ...starts.map((start, i) => this.part(start, ends[i + 1]))];
  }

  /** Without the blanks around it. */
  trim(): Piece {
    const blanksBefore = this.length - this.text.trimStart().length;
    return this.part(blanksBefore, blanksBefore + this.text.trim().length);
  }

  /** A decimal number within limits, both included; anything else fails with `expected`. */
  number(low: number, high: number, expected: string): number {
    const value = /^\d{1,10}$/.test(this.text) ? Number(this.text) : Number.NaN;
    if (!(value >= low && value <= high)) this.expected(`${expected} ${low} to ${high}`);
    return value;
  }

  /** Fails because something else should stand here. */
  expected(expected: string, next?: string): never {
    this.fail(`expected ${expected}, found ${this.length === 0 ? 'nothing' : quoted(this.text)}`, { next });
  }

  /** Fails with a sentence about this piece. */
  fail(problem: string, options: { next?: string | undefined; code?: ErrorCode } = {}): never {
    throw new ArgumentError(
      options.code ?? 'USAGE',
      `bad ${this.what} ${quoted(this.argument)}`,
      { argument: this.argumentNumber, column: this.#start + 1 },
      problem,
      options.next ?? 'run "ipsecpol -?" for the syntax',
    );
  }
}

function indexesOf(text: string, separator: string): number[] {
  const indexes: number[] = [];
  for (let at = text.indexOf(separator); at >= 0; at = text.indexOf(separator, at + separator.length))
    indexes.push(at);
  return indexes;
}
