/** A small set of checks that turn an unknown JSON value into a typed one, or say where it is wrong. */

/** What is wrong, and where: `rules[2].action.kind`. Never repeats a value, which may be a key. */
export class SchemaError extends Error {
  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.name = 'SchemaError';
  }
}

/** Reads one value at a path. Throws `SchemaError`. */
export type Decoder<T> = (value: unknown, path: string) => T;

interface OptionalDecoder<T> {
  readonly optional: Decoder<T>;
}

type Fields = Readonly<Record<string, Decoder<unknown> | OptionalDecoder<unknown>>>;

type Decoded<F extends Fields> = {
  readonly [K in keyof F as F[K] extends Decoder<unknown> ? K : never]: F[K] extends Decoder<infer T>
    ? T
    : never;
} & {
  readonly [K in keyof F as F[K] extends Decoder<unknown> ? never : K]?: F[K] extends OptionalDecoder<infer T>
    ? T
    : never;
};

export function optional<T>(decoder: Decoder<T>): OptionalDecoder<T> {
  return { optional: decoder };
}

/** An object with exactly these fields. */
export function object<F extends Fields>(fields: F): Decoder<Decoded<F>> {
  return (value, path) => {
    const record = asRecord(value, path);
    const at = (name: string) => (path === '' ? name : `${path}.${name}`);
    for (const name of Object.keys(record))
      if (!Object.hasOwn(fields, name)) throw new SchemaError(at(name), 'unknown field');
    const entries = Object.entries(fields).flatMap(([name, decoder]) => {
      const field = record[name];
      if (typeof decoder === 'function') {
        if (field === undefined) throw new SchemaError(at(name), 'is missing');
        return [[name, decoder(field, at(name))]];
      }
      return field === undefined ? [] : [[name, decoder.optional(field, at(name))]];
    });
    // Each entry went through the decoder that `Decoded` takes its type from.
    return Object.fromEntries(entries) as Decoded<F>;
  };
}

/** One of several objects, told apart by their `kind`. */
export function byKind<T>(kinds: Readonly<Record<string, Decoder<T>>>): Decoder<T> {
  return (value, path) => {
    const { kind } = asRecord(value, path);
    const decoder = typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (decoder === undefined)
      throw new SchemaError(
        path === '' ? 'kind' : `${path}.kind`,
        `expected ${Object.keys(kinds).join(', ')}`,
      );
    return decoder(value, path);
  };
}

export function array<T>(item: Decoder<T>): Decoder<readonly T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new SchemaError(path, 'expected a list');
    return value.map((each: unknown, i) => item(each, `${path}[${i}]`));
  };
}

export const text: Decoder<string> = (value, path) => {
  if (typeof value !== 'string') throw new SchemaError(path, 'expected text');
  return value;
};

export const flag: Decoder<boolean> = (value, path) => {
  if (typeof value !== 'boolean') throw new SchemaError(path, 'expected true or false');
  return value;
};

/** A whole number within limits, both included. */
export function integer(low: number, high: number): Decoder<number> {
  return (value, path) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high)
      throw new SchemaError(path, `expected a whole number ${low} to ${high}`);
    return value;
  };
}

/** One of a few words or numbers. */
export function oneOf<const T extends string | number>(...words: readonly T[]): Decoder<T> {
  return (value, path) => {
    const word = words.find(each => each === value);
    if (word === undefined) throw new SchemaError(path, `expected ${words.join(', ')}`);
    return word;
  };
}

/** Text that `parse` understands; `undefined` from it is a refusal. */
export function parsed<T>(expected: string, parse: (text: string) => T | undefined): Decoder<T> {
  return (value, path) => {
    const result = typeof value === 'string' ? parse(value) : undefined;
    if (result === undefined) throw new SchemaError(path, `expected ${expected}`);
    return result;
  };
}

function asRecord(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SchemaError(path, 'expected an object');
  return { ...value };
}
