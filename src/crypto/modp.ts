/** Diffie-Hellman modulo the primes of RFC 2409 6 and RFC 3526, with values padded as IKE wants them. */
import { createDiffieHellman, type DiffieHellman, getDiffieHellman } from 'node:crypto';
import type { ModpGroup } from './algorithms.js';
import { leftPad } from './left-pad.js';

interface GroupComputer {
  readonly engine: DiffieHellman;
  readonly primeMinusOne: Uint8Array;
}

/**
 * One object a group, its private key set anew for every use: creating one, or asking OpenSSL for the named
 * group, tests the prime each time (tens of milliseconds).
 */
const computers = new Map<number, GroupComputer>();

function computerOf({ id, nodeName, bytes }: ModpGroup): GroupComputer {
  const known = computers.get(id);
  if (known) return known;
  const named = getDiffieHellman(nodeName);
  const prime = leftPad(named.getPrime(), bytes);
  const primeMinusOne = Uint8Array.from(prime);
  primeMinusOne[prime.length - 1] = (prime[prime.length - 1] ?? 0) - 1; // p is odd: no borrow
  const computer = { engine: createDiffieHellman(prime, named.getGenerator()), primeMinusOne };
  computers.set(id, computer);
  return computer;
}

/**
 * Bytes of a private exponent: at least twice the group's strength (RFC 3526 8), far below the group's
 * length, so that an agreement stays cheap.
 */
export function modpExponentBytes({ bits }: ModpGroup): number {
  if (bits <= 2048) return 32;
  return bits <= 4096 ? 48 : 64;
}

/** g^x, left-padded to the group's length. */
export function modpPublicValue(group: ModpGroup, exponent: Uint8Array): Uint8Array {
  const { engine } = computerOf(group);
  engine.setPrivateKey(exponent);
  return leftPad(engine.generateKeys(), group.bytes);
}

/** Whether a value of the group's length lies in 2 … p-2. */
export function isInModpRange(group: ModpGroup, peerValue: Uint8Array): boolean {
  const trivial = peerValue.subarray(0, -1).every(byte => byte === 0) && (peerValue.at(-1) ?? 0) < 2;
  return !trivial && Buffer.compare(peerValue, computerOf(group).primeMinusOne) < 0;
}

/** g^xy, left-padded to the group's length; of a value that is in its range. */
export function modpAgree(group: ModpGroup, exponent: Uint8Array, peerValue: Uint8Array): Uint8Array {
  const { engine } = computerOf(group);
  engine.setPrivateKey(exponent);
  return leftPad(engine.computeSecret(peerValue), group.bytes);
}
