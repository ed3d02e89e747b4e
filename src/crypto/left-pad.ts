/** A big-endian number at a fixed length. */
export function leftPad(value: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(length);
  padded.set(value, length - value.length);
  return padded;
}
