/** A small set of checks that turn an unknown JSON value into a typed one, or say where it is wrong. */

/** What is wrong, and where: `rules[2].action.kind`. Never repeats a value, which may be a key. */
export class SchemaError extends Error {
  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.name = 'SchemaError';
  }
}

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Parts of a schema that have a name, which others refer to. */
type Definitions = Map<string, JsonSchema>;

/** Reads one value at a path. Throws `SchemaError`. */
export interface Decoder<T> {
  (value: unknown, path: string): T;
  /** The same as JSON Schema; its named parts are added to `definitions`. */
  readonly schema?: (definitions: Definitions) => JsonSchema;
}

function decoder<T>(
  schema: (definitions: Definitions) => JsonSchema,
  read: (value: unknown, path: string) => T,
): Decoder<T> {
  return Object.assign(read, { schema });
}

/** A decoder whose schema is said once, under this name. */
export function define<T>(name: string, inner: Decoder<T>): Decoder<T> {
  return decoder(
    definitions => {
      if (!definitions.has(name)) {
        definitions.set(name, {});
        definitions.set(name, schemaOf(inner, definitions));
      }
      return { $ref: `#/$defs/${name}` };
    },
    (value, path) => inner(value, path),
  );
}

/** What was read, as something else. */
export function mapped<T, U>(inner: Decoder<T>, map: (value: T) => U): Decoder<U> {
  return decoder(
    definitions => schemaOf(inner, definitions),
    (value, path) => map(inner(value, path)),
  );
}

/** The JSON Schema of any of these documents. */
export function jsonSchema(id: string, title: string, documents: readonly Decoder<unknown>[]): JsonSchema {
  const definitions: Definitions = new Map();
  const anyOf = documents.map(document => schemaOf(document, definitions));
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: id,
    title,
    anyOf,
    $defs: Object.fromEntries(definitions),
  };
}

function schemaOf(inner: Decoder<unknown>, definitions: Definitions): JsonSchema {
  if (inner.schema === undefined) throw new Error('a decoder without a schema');
  return inner.schema(definitions);
}

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
  const schema = (definitions: Definitions): JsonSchema => ({
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        name,
        schemaOf(typeof field === 'function' ? field : field.optional, definitions),
      ]),
    ),
    required: Object.keys(fields).filter(name => typeof fields[name] === 'function'),
    additionalProperties: false,
  });
  return decoder(schema, (value, path) => {
    const record = asRecord(value, path);
    const at = (name: string) => (path === '' ? name : `${path}.${name}`);
    for (const name of Object.keys(record))
      if (!Object.hasOwn(fields, name)) throw new SchemaError(at(name), 'unknown field');
    const entries = Object.entries(fields).flatMap(([name, read]) => {
      const field = record[name];
      if (typeof read === 'function') {
        if (field === undefined) throw new SchemaError(at(name), 'is missing');
        return [[name, read(field, at(name))]];
      }
      return field === undefined ? [] : [[name, read.optional(field, at(name))]];
    });
    // Each entry went through the decoder that `Decoded` takes its type from.
    return Object.fromEntries(entries) as Decoded<F>;
  });
}

/** One of several objects, told apart by their `kind`. */
export function byKind<T>(kinds: Readonly<Record<string, Decoder<T>>>): Decoder<T> {
  const schema = (definitions: Definitions): JsonSchema => ({
    anyOf: [...new Set(Object.values(kinds))].map(each => schemaOf(each, definitions)),
  });
  return decoder(schema, (value, path) => {
    const { kind } = asRecord(value, path);
    const read = typeof kind === 'string' && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (read === undefined)
      throw new SchemaError(
        path === '' ? 'kind' : `${path}.kind`,
        `expected ${Object.keys(kinds).join(', ')}`,
      );
    return read(value, path);
  });
}

export function array<T>(item: Decoder<T>): Decoder<readonly T[]> {
  const schema = (definitions: Definitions) => ({ type: 'array', items: schemaOf(item, definitions) });
  return decoder(schema, (value, path) => {
    if (!Array.isArray(value)) throw new SchemaError(path, 'expected a list');
    return value.map((each: unknown, i) => item(each, `${path}[${i}]`));
  });
}

export const text: Decoder<string> = decoder(
  () => ({ type: 'string' }),
  (value, path) => {
    if (typeof value !== 'string') throw new SchemaError(path, 'expected text');
    return value;
  },
);

export const flag: Decoder<boolean> = decoder(
  () => ({ type: 'boolean' }),
  (value, path) => {
    if (typeof value !== 'boolean') throw new SchemaError(path, 'expected true or false');
    return value;
  },
);

/** A whole number within limits, both included. */
export function integer(low: number, high: number): Decoder<number> {
  const schema = () => ({ type: 'integer', minimum: low, maximum: high });
  return decoder(schema, (value, path) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high)
      throw new SchemaError(path, `expected a whole number ${low} to ${high}`);
    return value;
  });
}

/** One of a few words or numbers. */
export function oneOf<const T extends string | number>(...words: readonly T[]): Decoder<T> {
  const schema = () => (words.length === 1 ? { const: words[0] } : { enum: words });
  return decoder(schema, (value, path) => {
    const word = words.find(each => each === value);
    if (word === undefined) throw new SchemaError(path, `expected ${words.join(', ')}`);
    return word;
  });
}

/** Text that `parse` understands; `undefined` from it is a refusal. `pattern` says in a schema what is understood. */
export function parsed<T>(
  expected: string,
  parse: (text: string) => T | undefined,
  pattern?: string,
): Decoder<T> {
  const schema = () => ({
    type: 'string',
    description: expected,
    ...(pattern === undefined ? {} : { pattern }),
  });
  return decoder(schema, (value, path) => {
    const result = typeof value === 'string' ? parse(value) : undefined;
    if (result === undefined) throw new SchemaError(path, `expected ${expected}`);
    return result;
  });
}

function asRecord(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new SchemaError(path, 'expected an object');
  return { ...value };
}
