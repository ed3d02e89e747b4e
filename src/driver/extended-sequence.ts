/** Extended sequence numbers (RFC 4303 2.2.1, RFC 4302 2.5.1): 64 bits are counted, the low 32 of them are sent. */
import { encryption } from '../crypto/algorithms.js';
import type { EspOpener } from '../crypto/packet-cipher.js';
import type { SaPair } from './api.js';
import type { ReplayWindow } from './replay-window.js';

/** How many numbers the bits have that are sent. */
export const sentNumbers = 2 ** 32;

/** The 32 bits of a number that are not sent: 0 unless it is an extended one. */
export function sequenceHigh(sequence: number): number {
  return Math.floor(sequence / sentNumbers);
}

/** An ESP packet that is not genuine under the number it seemed to have, where it is so under one further on. */
export function openFurtherOn(
  { opener, window }: { readonly opener: EspOpener; readonly window: ReplayWindow },
  packet: Uint8Array,
  seeming: number,
): { readonly sequence: number; readonly plaintext: Uint8Array } | undefined {
  for (const sequence of window.numbersAfterFailure(seeming)) {
    const [plaintext] = opener.open([packet], [sequenceHigh(sequence)]);
    if (plaintext !== undefined) return { sequence, plaintext };
  }
  return undefined;
}

/** Why a pair cannot have extended sequence numbers, a sentence fragment; `undefined` when it can, or has none. */
export function extendedSequenceFault({
  extendedSequence,
  replayWindow,
  inbound,
  outbound,
}: SaPair): string | undefined {
  if (extendedSequence !== true) return undefined;
  // The window is what the bits that are not sent are told by.
  if (replayWindow === 0) return 'extended sequence numbers without a replay window';
  const proven = [inbound, outbound].every(halves =>
    halves.some(
      ({ hash, encryption: id = 'null' }) => hash !== undefined || encryption(id).tagBytes !== undefined,
    ),
  );
  return proven ? undefined : 'extended sequence numbers without integrity';
}
