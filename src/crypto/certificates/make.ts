/** Making certificates, revocation lists and requests (RFC 5280, RFC 2986): pure, with the keys and times given. */
import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { fromHex } from '../../wire/bytes.js';
import { DerReader, derTags, readBitString } from '../../wire/der/der.js';
import {
  derBitString,
  derBoolean,
  derExplicit,
  derImplicit,
  derInteger,
  derNull,
  derOctetString,
  derOid,
  derSequence,
  derSetOf,
  derTime,
} from '../../wire/der/der-writer.js';
import { addressBytes } from '../../wire/ip/address.js';
import { type AlternativeName, extensionOids, type KeyUsage, keyUsages } from './extensions.js';
import { signatureAlgorithms } from './signature-algorithms.js';

export type SignatureHash = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Who signs. */
export interface Signer {
  /** DER of its Name. */
  readonly name: Uint8Array;
  readonly privateKey: KeyObject;
  /** SHA-256, or what fits the curve, when absent. Windows 2000 knows no more than SHA-1. */
  readonly hash?: SignatureHash;
}

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER. */
  readonly content: Uint8Array;
}

export interface CertificateTemplate {
  /** DER of the Name. */
  readonly subject: Uint8Array;
  readonly serialNumber: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** A CA, with at most this many CAs below it. */
  readonly ca?: { readonly pathLength?: number };
  readonly keyUsage?: readonly KeyUsage[];
  /** Object identifiers. */
  readonly extendedKeyUsage?: readonly string[];
  readonly alternativeNames?: readonly AlternativeName[];
  /** URIs at which its CRL is to be had. */
  readonly crlUris?: readonly string[];
  readonly furtherExtensions?: readonly Extension[];
}

/** The DER of a certificate for `publicKey`. */
export function makeCertificate(
  template: CertificateTemplate,
  publicKey: KeyObject,
  signer: Signer,
): Uint8Array {
  const algorithm = algorithmOf(signer);
  const body = derSequence(
    derExplicit(0, derInteger(2)),
    derInteger(template.serialNumber),
    algorithm.der,
    signer.name,
    derSequence(derTime(template.notBeforeMs), derTime(template.notAfterMs)),
    template.subject,
    publicKeyDer(publicKey),
    derExplicit(3, derSequence(...certificateExtensions(template, publicKey, signer).map(encodeExtension))),
  );
  return signed(body, algorithm, signer);
}

export interface CrlTemplate {
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly revoked: readonly { readonly serialNumber: string; readonly revokedAtMs: number }[];
}

/** The DER of a certificate revocation list. */
export function makeCrl(
  { number, thisUpdateMs, nextUpdateMs, revoked }: CrlTemplate,
  signer: Signer,
): Uint8Array {
  const algorithm = algorithmOf(signer);
  const entries = revoked.map(({ serialNumber, revokedAtMs }) =>
    derSequence(derInteger(serialBytes(serialNumber)), derTime(revokedAtMs)),
  );
  const extensions = [
    authorityKeyIdentifier(signer),
    { oid: '2.5.29.20', critical: false, content: derInteger(number) },
  ];
  const body = derSequence(
    derInteger(1),
    algorithm.der,
    signer.name,
    derTime(thisUpdateMs),
    derTime(nextUpdateMs),
    ...(entries.length === 0 ? [] : [derSequence(...entries)]),
    derExplicit(0, derSequence(...extensions.map(encodeExtension))),
  );
  return signed(body, algorithm, signer);
}

/** Serial numbers are hexadecimal without leading zeros. */
export function serialBytes(serialNumber: string): Uint8Array {
  return fromHex(serialNumber.length % 2 === 0 ? serialNumber : `0${serialNumber}`);
}

/** Identifier of the attribute of a request that holds the extensions wanted (PKCS#9). */
export const extensionRequestOid = '1.2.840.113549.1.9.14';

/** The DER of a certification request for the public half of `signer`'s key. */
export function makeRequest(alternativeNames: readonly AlternativeName[], signer: Signer): Uint8Array {
  const algorithm = algorithmOf(signer);
  const extensions =
    alternativeNames.length === 0 ? [] : [encodeExtension(alternativeNamesExtension(alternativeNames))];
  const attributes = extensions.map(extension =>
    derSequence(derOid(extensionRequestOid), derSetOf(derSequence(extension))),
  );
  const body = derSequence(
    derInteger(0),
    signer.name,
    publicKeyDer(createPublicKey(signer.privateKey)),
    derExplicit(0, ...attributes),
  );
  return signed(body, algorithm, signer);
}

function certificateExtensions(
  template: CertificateTemplate,
  publicKey: KeyObject,
  signer: Signer,
): Extension[] {
  const { ca, keyUsage, extendedKeyUsage, alternativeNames = [], crlUris = [] } = template;
  const { pathLength } = ca ?? {};
  const basic = [
    ...(ca === undefined ? [] : [derBoolean(true)]),
    ...(pathLength === undefined ? [] : [derInteger(pathLength)]),
  ];
  return [
    { oid: extensionOids.basicConstraints, critical: ca !== undefined, content: derSequence(...basic) },
    ...(keyUsage === undefined ? [] : [keyUsageExtension(keyUsage)]),
    ...(extendedKeyUsage === undefined
      ? []
      : [
          {
            oid: extensionOids.extendedKeyUsage,
            critical: false,
            content: derSequence(...extendedKeyUsage.map(derOid)),
          },
        ]),
    ...(alternativeNames.length === 0 ? [] : [alternativeNamesExtension(alternativeNames)]),
    ...(crlUris.length === 0 ? [] : [distributionPoints(crlUris)]),
    { oid: '2.5.29.14', critical: false, content: derOctetString(keyIdentifier(publicKey)) },
    authorityKeyIdentifier(signer),
    ...(template.furtherExtensions ?? []),
  ];
}

function keyUsageExtension(usages: readonly KeyUsage[]): Extension {
  const octets = new Uint8Array(2);
  let last = 0;
  for (const [bit, usage] of keyUsages.entries()) {
    if (!usages.includes(usage)) continue;
    octets[bit >> 3] = (octets[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
    last = bit;
  }
  const content = derBitString(octets.subarray(0, (last >> 3) + 1), 7 - (last & 7));
  return { oid: extensionOids.keyUsage, critical: true, content };
}

function alternativeNamesExtension(names: readonly AlternativeName[]): Extension {
  const encode = (name: AlternativeName) => {
    switch (name.kind) {
      case 'email':
        return derImplicit(1, Buffer.from(name.name, 'latin1'));
      case 'dns':
        return derImplicit(2, Buffer.from(name.name, 'latin1'));
      case 'directory':
        return derExplicit(4, name.name.der);
      case 'address':
        return derImplicit(7, addressBytes(name.address));
    }
  };
  return { oid: extensionOids.subjectAltName, critical: false, content: derSequence(...names.map(encode)) };
}

function distributionPoints(uris: readonly string[]): Extension {
  const points = uris.map(uri =>
    derSequence(derExplicit(0, derExplicit(0, derImplicit(6, Buffer.from(uri, 'latin1'))))),
  );
  return { oid: extensionOids.crlDistributionPoints, critical: false, content: derSequence(...points) };
}

function authorityKeyIdentifier({ privateKey }: Signer): Extension {
  const identifier = keyIdentifier(createPublicKey(privateKey));
  return { oid: '2.5.29.35', critical: false, content: derSequence(derImplicit(0, identifier)) };
}

/** SHA-1 of the key's bits (RFC 5280 4.2.1.2): a name, not a protection. */
function keyIdentifier(publicKey: KeyObject): Uint8Array {
  const reader = new DerReader(publicKeyDer(publicKey)).enter('public key');
  reader.next('algorithm', derTags.SEQUENCE);
  const bits = readBitString(reader.next('key', derTags['BIT STRING']), 'key').octets;
  return createHash('sha1').update(bits).digest();
}

function encodeExtension({ oid, critical, content }: Extension): Uint8Array {
  return derSequence(derOid(oid), ...(critical ? [derBoolean(true)] : []), derOctetString(content));
}

function publicKeyDer(publicKey: KeyObject): Uint8Array {
  return publicKey.export({ type: 'spki', format: 'der' });
}

interface Algorithm {
  readonly der: Uint8Array;
  readonly hash: string;
}

function algorithmOf({ privateKey, hash }: Signer): Algorithm {
  const kind = privateKey.asymmetricKeyType;
  const wanted = hash ?? hashOfCurve[privateKey.asymmetricKeyDetails?.namedCurve ?? ''] ?? 'sha256';
  const found = signatureAlgorithms.find(algorithm => algorithm.key === kind && algorithm.hash === wanted);
  if (found === undefined) throw new TypeError(`no certificate can be signed by ${kind} with ${wanted}`);
  return { der: derSequence(derOid(found.oid), ...(kind === 'rsa' ? [derNull] : [])), hash: found.hash };
}

const hashOfCurve: Readonly<Record<string, SignatureHash>> = { secp384r1: 'sha384', secp521r1: 'sha512' };

function signed(body: Uint8Array, algorithm: Algorithm, { privateKey }: Signer): Uint8Array {
  return derSequence(body, algorithm.der, derBitString(sign(algorithm.hash, body, privateKey)));
}
