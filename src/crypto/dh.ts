/** Diffie-Hellman for IKE: the MODP groups of RFC 2409 6 and RFC 3526 and the curves of RFC 5903. */
import { type EcpGroup, type GroupId, group as groupRow } from './algorithms.js';
import { ecpAgree, ecpPublicValue } from './ecp.js';
import { isInModpRange, modpAgree, modpExponentBytes, modpPublicValue } from './modp.js';
import { Secret } from './secret.js';

/** One side's ephemeral key of one exchange. */
export interface DhKeyPair {
  readonly group: GroupId;
  /** g^x at the group's full length, of a curve X | Y: the body of the KE payload. */
  readonly publicValue: Uint8Array;
  /** x. */
  readonly exponent: Secret<Uint8Array>;
}

/** The peer's public value cannot be used: wrong length, outside 2 … p-2, or not on the curve. */
export class InvalidPublicValue extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'InvalidPublicValue';
  }
}

/** Bytes of a group's public value. */
export function publicValueBytes(id: GroupId): number {
  const group = groupRow(id);
  return group.kind === 'modp' ? group.bytes : 2 * group.coordinateBytes;
}

/**
 * What can be said of a peer's value before anything costly is computed. Throws `InvalidPublicValue` unless it has exactly
 * the group's length and lies in 2 … p-2; whether it is on a curve shows when it is used.
 */
export function checkPublicValue(id: GroupId, peerValue: Uint8Array): void {
  const group = groupRow(id);
  const bytes = publicValueBytes(id);
  if (peerValue.length !== bytes)
    throw new InvalidPublicValue(`a ${group.name} public value has ${bytes} bytes, not ${peerValue.length}`);
  if (group.kind === 'modp' && !isInModpRange(group, peerValue))
    throw new InvalidPublicValue(`public value outside 2 … p-2 of ${group.name}`);
}

/** A new key of `group` from `random(length)`, which returns that many random bytes. */
export function generateKeyPair(id: GroupId, random: (length: number) => Uint8Array): DhKeyPair {
  const group = groupRow(id);
  const exponent = Uint8Array.from(
    random(group.kind === 'modp' ? modpExponentBytes(group) : group.coordinateBytes),
  );
  if (group.kind === 'modp')
    // The top bit makes every exponent full length, and never 0 or 1.
    exponent[0] = (exponent[0] ?? 0) | 0x80;
  else clearTopBit(exponent, group);
  return keyPairOf(id, exponent);
}

/** The key pair of a given exponent. */
export function keyPairOf(id: GroupId, exponent: Uint8Array): DhKeyPair {
  const group = groupRow(id);
  const publicValue =
    group.kind === 'modp' ? modpPublicValue(group, exponent) : ecpPublicValue(group, exponent);
  return { group: id, publicValue, exponent: new Secret(exponent) };
}

/**
 * g^xy at the group's full length, of a curve its X. Throws `InvalidPublicValue` unless `peerValue` has exactly the
 * group's length and lies in 2 … p-2, or on the curve.
 */
export function agree(own: DhKeyPair, peerValue: Uint8Array): Uint8Array {
  checkPublicValue(own.group, peerValue);
  const group = groupRow(own.group);
  const exponent = own.exponent.reveal();
  if (group.kind === 'modp') return modpAgree(group, exponent, peerValue);
  const secret = ecpAgree(group, exponent, peerValue);
  if (secret === undefined) throw new InvalidPublicValue(`public value that is no point of ${group.name}`);
  return secret;
}

/** Below half the curve's order every number is a valid exponent, so none has to be drawn again. */
function clearTopBit(exponent: Uint8Array, { bits, coordinateBytes }: EcpGroup): void {
  const unusedBits = 8 * coordinateBytes - bits;
  exponent[0] = (exponent[0] ?? 0) & (0x7f >> unusedBits);
}
