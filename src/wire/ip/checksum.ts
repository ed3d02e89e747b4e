/** The internet checksum (RFC 1071) and its incremental update (RFC 1624). */

/** One's-complement sum of 16-bit words of `bytes[start..end)` on top of `initial`, folded to 16 bits. */
export function onesComplementSum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let sum = initial;
  let at = start;
  for (; at + 1 < end; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  if (at < end) sum += (bytes[at] ?? 0) << 8;
  return fold(sum);
}

/** The checksum of `bytes[start..end)`: complement of the sum. */
export function checksumOf(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~onesComplementSum(bytes, start, end, initial) & 0xffff;
}

/** A 32-bit value as the sum of its two words: what an address adds to a pseudo-header. */
export function sumOfU32(value: number): number {
  return (value >>> 16) + (value & 0xffff);
}

/** The checksum after data that summed to `before` were replaced by data that sum to `after`. */
export function adjustChecksum(checksum: number, before: number, after: number): number {
  return ~fold((~checksum & 0xffff) + (~fold(before) & 0xffff) + fold(after)) & 0xffff;
}

function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x1_0000);
  return folded;
}
