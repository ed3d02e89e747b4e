import { encryption, hash } from '../crypto/algorithms.js';
import type { InstalledPair } from './installed-pair.js';

/** Packets of a pair that are tried; one that the peer made would be among them. */
const mostTries = 16;

/**
 * Looks for the one known cause of a wrong ICV, a peer that cuts it to another length (`esp-ah.md` 1.1), and says it in a
 * sentence that the pair keeps. Only until the pair has worked, and a bounded number of times: forgers must not multiply
 * our work. `otherIcvBytes` tries.
 */
export function truncationNote(
  pair: InstalledPair,
  icvBytes: number,
  otherIcvBytes: () => number | undefined,
): string | undefined {
  if (pair.lastInboundAtMs !== undefined || pair.truncationTries >= mostTries) return undefined;
  pair.truncationTries++;
  const other = otherIcvBytes();
  if (other === undefined) return undefined;
  pair.lastNote = `the peer truncates ${integrityName(pair)} to ${other * 8} bits, this side to ${icvBytes * 8}`;
  return pair.lastNote;
}

/** Of AH where there is one: its ICV is checked first. */
function integrityName({ pair: { inbound } }: InstalledPair): string {
  const half = inbound.find(({ protocol }) => protocol === 'ah') ?? inbound[0];
  if (half?.hash !== undefined)
    return `HMAC-${hash(half.hash).opensslName.toUpperCase().replace(/^SHA/, 'SHA-')}`;
  return encryption(half?.encryption ?? 'null').name;
}
