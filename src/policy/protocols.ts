/** IP protocols by the names `ipsecpol`, `netsh` and the snap-in use. */
const numbers: ReadonlyMap<string, number> = new Map([
  ['TCP', 6],
  ['UDP', 17],
  ['ICMP', 1],
  ['RAW', 255],
]);

const names: ReadonlyMap<number, string> = new Map([...numbers].map(([name, number]) => [number, name]));

/** In the order usage texts list them. */
export const protocolNames: readonly string[] = [...numbers.keys()];

/** The number of a protocol's name, in any case; `undefined` for other text. */
export function protocolNumber(name: string): number | undefined {
  return numbers.get(name.toUpperCase());
}

/** The name of a protocol, or its number as text; 0 is `any`. */
export function protocolName(protocol: number): string {
  return protocol === 0 ? 'any' : (names.get(protocol) ?? String(protocol));
}

/** Whether filters on this protocol may have ports: TCP and UDP. */
export function carriesPorts(protocol: number): boolean {
  return protocol === 6 || protocol === 17;
}
