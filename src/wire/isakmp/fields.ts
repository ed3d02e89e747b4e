/**
 * Declaring a structure of the wire once: `struct` turns a list of fields, in wire order, into its reader, its
 * writer and its printed form. The kinds of fields payloads are made of are in `field-kinds.ts`.
 */
import type { ByteReader, ByteWriter } from '../bytes.js';

/** What the `length of …` and `count of …` fields before a field said about it. */
export interface Measures {
  readonly length?: number;
  readonly count?: number;
}

/** What enclosing structures tell the printing of those inside: the names of numbers depend on it. */
export interface PrintContext {
  readonly protocol?: number;
  readonly notifyType?: number;
  readonly idType?: number;
}

/** How one field is read, written, measured and printed. `label` says which field, for errors and for people. */
export interface Field<T> {
  read(reader: ByteReader, label: string, measures: Measures): T;
  write(writer: ByteWriter, value: T, label: string): void;
  /** Lines without indentation; none for a field that is not shown. */
  print(value: T, label: string, context: PrintContext): string[];
  /** Fills the `length of …` and `count of …` fields when writing. */
  measure?(value: T): Measures;
}

/** A structure that can be read, written and printed. */
export interface Struct<T> {
  readonly name: string;
  /** Reads to the end of `reader`: bytes left over are an error. Throws `WireError`. */
  read(reader: ByteReader): T;
  /** Throws `RangeError` on a value that does not fit its field. */
  write(writer: ByteWriter, value: T): void;
  /** One line a field, without indentation. */
  print(value: T, context: PrintContext): string[];
}

/**
 * The fields of `T` in wire order. Between them may stand `length of x` (its bytes, or those of each element) and
 * `count of x`, computed from `x` when writing and bounding it when reading, and `reserved`.
 */
export type Layout<T> = { readonly [K in keyof T]-?: Field<T[K]> } & {
  readonly [K in keyof T & string as `${keyof Measures} of ${K}`]?: Field<number>;
} & { readonly reserved?: Field<undefined> };

interface Step {
  /** The property of the structure; what `measures`, when set. */
  readonly property: string;
  /** For people. */
  readonly label: string;
  /** For errors. */
  readonly fullName: string;
  readonly field: Field<unknown>;
  readonly measures?: keyof Measures;
}

function stepsOf(name: string, layout: object): Step[] {
  // Object.entries forgets the types `Layout` has checked: each field only ever meets its own property's values.
  const entries: [string, Field<unknown>][] = Object.entries(layout);
  return entries.map(([key, field]) => {
    const label = key.replace(/[A-Z]/g, capital => ` ${capital.toLowerCase()}`);
    const [, measures, measured] = /^(length|count) of (.+)$/.exec(key) ?? [];
    const step = { property: measured ?? key, label, fullName: `${name} ${label}`, field };
    return measured === undefined ? step : { ...step, measures: measures === 'length' ? 'length' : 'count' };
  });
}

/** `inner` says what the structures inside this one are told when they are printed. */
export function struct<T extends object>(
  name: string,
  layout: Layout<T>,
  inner: (value: T) => PrintContext = () => ({}),
): Struct<T> {
  const steps = stepsOf(name, layout);
  const contents = steps.filter(step => step.measures === undefined && step.property !== 'reserved');
  const fieldOf = new Map(contents.map(step => [step.property, step.field]));
  const nothing: Measures = {};
  return {
    name,
    read(reader) {
      const value: Record<string, unknown> = {};
      const measured = new Map<string, Measures>();
      for (const { property, fullName, field, measures } of steps) {
        const content = field.read(reader, fullName, measured.get(property) ?? nothing);
        if (measures !== undefined)
          measured.set(property, { ...measured.get(property), [measures]: content });
        else if (property !== 'reserved') value[property] = content;
      }
      if (reader.remaining > 0)
        reader.fail('trailing-bytes', `${name}: ${reader.remaining} bytes after its last field`);
      // `Layout` makes every property of T a step, so all of them have been read.
      return value as T;
    },
    write(writer, value) {
      for (const { property, fullName, field, measures } of steps) {
        const content: unknown = Reflect.get(value, property);
        const written =
          measures === undefined ? content : fieldOf.get(property)?.measure?.(content)[measures];
        field.write(writer, written, fullName);
      }
    },
    print(value, context) {
      const innerContext = { ...context, ...inner(value) };
      return contents.flatMap(({ property, label, field }) =>
        field.print(Reflect.get(value, property), label, innerContext),
      );
    },
  };
}

/** Every line two spaces further in. */
export function indent(lines: readonly string[]): string[] {
  return lines.map(line => `  ${line}`);
}
