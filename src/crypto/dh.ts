/** Diffie-Hellman over the MODP groups of RFC 2409 6 and RFC 3526, with values padded as IKE wants them. */
import { createDiffieHellman, type DiffieHellman, getDiffieHellman } from 'node:crypto';
import { dhGroups, type GroupId, group as groupRow } from './algorithms.js';
import { Secret } from './secret.js';

/** One side's ephemeral key of one exchange. */
export interface DhKeyPair {
  readonly group: GroupId;
  /** g^x, left-padded to the group's length: the body of the KE payload. */
  readonly publicValue: Uint8Array;
  /** x. */
  readonly exponent: Secret<Uint8Array>;
}

/** The peer's public value cannot be used: wrong length, or outside 2 … p-2. */
export class InvalidPublicValue extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'InvalidPublicValue';
  }
}

interface GroupComputer {
  readonly engine: DiffieHellman;
  /** p, exactly the group's length. */
  readonly prime: Uint8Array;
  readonly primeMinusOne: Uint8Array;
}

/**
 * One object a group, its private key set anew for every use: creating one, or asking OpenSSL for the named
 * group, tests the prime each time (tens of milliseconds).
 */
const computers = new Map<GroupId, GroupComputer>();

function computerOf(id: GroupId): GroupComputer {
  const known = computers.get(id);
  if (known) return known;
  const named = getDiffieHellman(dhGroups[id].nodeName);
  const prime = leftPad(named.getPrime(), groupRow(id).bytes);
  const primeMinusOne = Uint8Array.from(prime);
  primeMinusOne[prime.length - 1] = (prime[prime.length - 1] ?? 0) - 1; // p is odd: no borrow
  const computer = { engine: createDiffieHellman(prime, named.getGenerator()), prime, primeMinusOne };
  computers.set(id, computer);
  return computer;
}

/**
 * Bytes of a private exponent: at least twice the group's strength (RFC 3526 8), far below the group's
 * length, so that an agreement stays cheap.
 */
function exponentBytes(id: GroupId): number {
  const { bits } = groupRow(id);
  if (bits <= 2048) return 32;
  return bits <= 4096 ? 48 : 64;
}

/** A new key of `group` from `random(length)`, which returns that many random bytes. */
export function generateKeyPair(group: GroupId, random: (length: number) => Uint8Array): DhKeyPair {
  const { engine } = computerOf(group);
  const exponent = Uint8Array.from(random(exponentBytes(group)));
  // The top bit makes every exponent full length, and never 0 or 1.
  exponent[0] = (exponent[0] ?? 0) | 0x80;
  engine.setPrivateKey(exponent);
  return {
    group,
    publicValue: leftPad(engine.generateKeys(), groupRow(group).bytes),
    exponent: new Secret(exponent),
  };
}

/**
 * g^xy, left-padded to the group's length. Throws `InvalidPublicValue` unless `peerValue` has exactly the
 * group's length and lies in 2 … p-2.
 */
export function agree(own: DhKeyPair, peerValue: Uint8Array): Uint8Array {
  const { bytes, name } = groupRow(own.group);
  if (peerValue.length !== bytes)
    throw new InvalidPublicValue(`a ${name} public value has ${bytes} bytes, not ${peerValue.length}`);
  const { engine, primeMinusOne } = computerOf(own.group);
  const trivial = peerValue.subarray(0, -1).every(byte => byte === 0) && (peerValue[bytes - 1] ?? 0) < 2;
  if (trivial || Buffer.compare(peerValue, primeMinusOne) >= 0)
    throw new InvalidPublicValue(`public value outside 2 … p-2 of ${name}`);
  engine.setPrivateKey(own.exponent.reveal());
  return leftPad(engine.computeSecret(peerValue), bytes);
}

function leftPad(value: Uint8Array, length: number): Uint8Array {
  const padded = new Uint8Array(length);
  padded.set(value, length - value.length);
  return padded;
}
