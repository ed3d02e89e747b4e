/** The stored number of a word in one of the tables of numbers; `undefined` when Windows has none. */
export function idOf<V>(table: Readonly<Record<string, V>>, word: string): V | undefined {
  return Object.hasOwn(table, word) ? table[word] : undefined;
}

/** The word of a stored number; `undefined` when the table lacks it. */
export function keyOf<K extends string | number, V>(
  table: Readonly<Record<K, V>>,
  id: unknown,
): (K extends number ? `${K}` : K) | undefined {
  // `Object.entries` gives the table's own keys, numbers as text.
  const entry = Object.entries(table).find(([, value]) => value === id);
  return entry?.[0] as (K extends number ? `${K}` : K) | undefined;
}
