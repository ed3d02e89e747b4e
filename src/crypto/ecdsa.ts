/**
 * ECDSA over a hash that is given, as IKEv1 signs (RFC 4754): Node's own signing always hashes once more. The secret
 * multiplication is OpenSSL's (it takes the same time for every key); what is left of signing is blinded, and verifying
 * handles nothing secret.
 */
import { createECDH, type KeyObject } from 'node:crypto';
import { toHex } from '../wire/bytes.js';
import { leftPad } from './left-pad.js';

interface Curve {
  readonly p: bigint;
  /** Order of the generator. */
  readonly n: bigint;
  readonly g: Point;
  /** Bytes of a coordinate, and of r and s each. */
  readonly bytes: number;
}

interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

/** FIPS 186-4 D.1.2; a is -3 on all of them. Keys are OpenSSL's names. */
const curves = {
  prime256v1: {
    p: 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    g: {
      x: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
      y: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
    },
    bytes: 32,
  },
  secp384r1: {
    p: 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffffn,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
    g: {
      x: 0xaa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7n,
      y: 0x3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5fn,
    },
    bytes: 48,
  },
  secp521r1: {
    p: (1n << 521n) - 1n,
    n: 0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
    g: {
      x: 0x00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66n,
      y: 0x011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650n,
    },
    bytes: 66,
  },
} as const satisfies Record<string, Curve>;

export type EcdsaCurve = keyof typeof curves;

/** r | s, each at the curve's length. `hash` is no longer than the order of the curve. */
export function ecdsaSign(
  curveName: EcdsaCurve,
  privateKey: KeyObject,
  hash: Uint8Array,
  random: (length: number) => Uint8Array,
): Uint8Array {
  const { n, bytes } = curves[curveName];
  const d = coordinate(privateKey.export({ format: 'jwk' }).d);
  const z = hashNumber(hash, n);
  for (;;) {
    const k = 1n + (bigint(random(bytes + 8)) % (n - 1n));
    const blind = 1n + (bigint(random(bytes + 8)) % (n - 1n));
    const ecdh = createECDH(curveName);
    ecdh.setPrivateKey(bigintBytes(k, bytes));
    const r = bigint(ecdh.getPublicKey().subarray(1, 1 + bytes)) % n;
    const s = (inverse((blind * k) % n, n) * (blind * z + ((blind * d) % n) * r)) % n;
    if (r !== 0n && s !== 0n) return Buffer.concat([bigintBytes(r, bytes), bigintBytes(s, bytes)]);
  }
}

/** Whether the key's owner signed this hash; false for any signature that cannot be one. */
export function ecdsaVerifies(
  curveName: EcdsaCurve,
  publicKey: KeyObject,
  hash: Uint8Array,
  signature: Uint8Array,
): boolean {
  const curve = curves[curveName];
  const { n, bytes, g } = curve;
  const { crv, x, y } = publicKey.export({ format: 'jwk' });
  if (signature.length !== 2 * bytes || publicKey.asymmetricKeyDetails?.namedCurve !== curveName || !crv)
    return false;
  const r = bigint(signature.subarray(0, bytes));
  const s = bigint(signature.subarray(bytes));
  if (r === 0n || s === 0n || r >= n || s >= n) return false;
  const w = inverse(s, n);
  const u1 = (hashNumber(hash, n) * w) % n;
  const u2 = (r * w) % n;
  // OpenSSL has checked that the key is a point of the curve.
  const sum = multiplySum(curve, [u1, g], [u2, { x: coordinate(x), y: coordinate(y) }]);
  return sum !== undefined && sum.x % n === r;
}

/** The leftmost bits of the hash, as many as the order has. */
function hashNumber(hash: Uint8Array, n: bigint): bigint {
  const excess = 8 * hash.length - n.toString(2).length;
  return excess > 0 ? bigint(hash) >> BigInt(excess) : bigint(hash);
}

/** Jacobian coordinates: x = X / Z², y = Y / Z³. Infinity has Z = 0. */
interface Jacobian {
  readonly x: bigint;
  readonly y: bigint;
  readonly z: bigint;
}

const infinity: Jacobian = { x: 1n, y: 1n, z: 0n };

/** a·A + b·B, both scalars walked together. `undefined` is infinity. */
function multiplySum(
  { p }: Curve,
  [a, pointA]: readonly [bigint, Point],
  [b, pointB]: readonly [bigint, Point],
): Point | undefined {
  const first = { ...pointA, z: 1n };
  const second = { ...pointB, z: 1n };
  const table = [infinity, first, second, add(first, second, p)];
  const bitsA = a.toString(2);
  const bitsB = b.toString(2);
  const length = Math.max(bitsA.length, bitsB.length);
  const [paddedA, paddedB] = [bitsA.padStart(length, '0'), bitsB.padStart(length, '0')];
  let sum = infinity;
  for (let i = 0; i < length; i++) {
    sum = double(sum, p);
    const next = table[(paddedA[i] === '1' ? 1 : 0) + (paddedB[i] === '1' ? 2 : 0)];
    if (next !== undefined && next !== infinity) sum = add(sum, next, p);
  }
  if (sum.z === 0n) return undefined;
  const z = inverse(sum.z, p);
  const z2 = (z * z) % p;
  return { x: mod(sum.x * z2, p), y: mod(sum.y * z2 * z, p) };
}

/** For a = -3 (SEC 1, "dbl-2001-b"). */
function double({ x, y, z }: Jacobian, p: bigint): Jacobian {
  if (z === 0n || y === 0n) return infinity;
  const delta = (z * z) % p;
  const gamma = (y * y) % p;
  const beta = (x * gamma) % p;
  const alpha = (3n * (x - delta) * (x + delta)) % p;
  const newX = mod(alpha * alpha - 8n * beta, p);
  return {
    x: newX,
    y: mod(alpha * (4n * beta - newX) - 8n * gamma * gamma, p),
    z: mod((y + z) * (y + z) - gamma - delta, p),
  };
}

function add(a: Jacobian, b: Jacobian, p: bigint): Jacobian {
  if (a.z === 0n) return b;
  if (b.z === 0n) return a;
  const z1 = (a.z * a.z) % p;
  const z2 = (b.z * b.z) % p;
  const u1 = mod(a.x * z2, p);
  const u2 = mod(b.x * z1, p);
  const s1 = mod(a.y * b.z * z2, p);
  const s2 = mod(b.y * a.z * z1, p);
  if (u1 === u2) return s1 === s2 ? double(a, p) : infinity;
  const h = u2 - u1;
  const r = s2 - s1;
  const h2 = (h * h) % p;
  const h3 = (h2 * h) % p;
  const v = (u1 * h2) % p;
  const x = mod(r * r - h3 - 2n * v, p);
  return { x, y: mod(r * (v - x) - s1 * h3, p), z: mod(a.z * b.z * h, p) };
}

function mod(value: bigint, m: bigint): bigint {
  const rest = value % m;
  return rest < 0n ? rest + m : rest;
}

/** Extended Euclid; `value` is not a multiple of the prime `m`. */
function inverse(value: bigint, m: bigint): bigint {
  let [a, b, x, y] = [mod(value, m), m, 1n, 0n];
  while (a > 1n) {
    const q = b / a;
    [a, b, x, y] = [b - q * a, a, y - q * x, x];
  }
  return mod(x, m);
}

function bigint(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

function bigintBytes(value: bigint, length: number): Uint8Array {
  return leftPad(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'), length);
}

/** A number of a JSON Web Key. */
function coordinate(text: string | undefined): bigint {
  if (text === undefined) throw new TypeError('not an elliptic curve key');
  return bigint(Buffer.from(text, 'base64url'));
}
