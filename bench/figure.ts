/** One measured number. `value` is ours, `peer` what it is compared with in the same run. */
export interface Figure {
  readonly figure: string;
  readonly unit: string;
  readonly value: number;
  readonly peer?: { readonly name: string; readonly value: number };
}

/** One JSON line a figure; `ratio` is ours to the peer's. */
export function printFigure({ figure, unit, value, peer }: Figure): void {
  const comparison =
    peer === undefined ? {} : { peer: peer.name, peerValue: peer.value, ratio: rounded(value / peer.value) };
  console.log(JSON.stringify({ figure, unit, value: rounded(value), ...comparison }));
}

/** Three significant digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(3));
}

/** The middle of an odd number of values, the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}
