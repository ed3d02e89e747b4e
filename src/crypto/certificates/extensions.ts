/** The certificate extensions that decide whether and for what a certificate may be used (RFC 5280 4.2). */
import { WireError } from '../../wire/bytes.js';
import {
  contextTag,
  DerReader,
  type DerValue,
  derTags,
  parseDer,
  primitiveContextTag,
  readBitString,
  readBoolean,
  readOid,
  readSmallInteger,
} from '../../wire/der/der.js';
import { type DistinguishedName, readName } from '../../wire/der/distinguished-name.js';
import { addressFromBytes, type IpAddress } from '../../wire/ip/address.js';

/** Key usages in the order of their bits. */
export const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

export type KeyUsage = (typeof keyUsages)[number];

export type AlternativeName =
  | { readonly kind: 'email'; readonly name: string }
  | { readonly kind: 'dns'; readonly name: string }
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'directory'; readonly name: DistinguishedName };

/** What the extensions say; an absent one is `undefined` or empty. */
export interface CertificateExtensions {
  readonly basicConstraints?: { readonly ca: boolean; readonly pathLength?: number };
  readonly keyUsage?: ReadonlySet<KeyUsage>;
  /** Object identifiers. */
  readonly extendedKeyUsage?: readonly string[];
  readonly alternativeNames: readonly AlternativeName[];
  /** Where its CRL is to be had; nothing here fetches it. */
  readonly crlDistributionPoints: readonly string[];
  /** Critical ones we do not understand: such a certificate must be refused. */
  readonly unknownCritical: readonly string[];
}

/** Identifiers of the extensions read here. */
export const extensionOids = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlDistributionPoints: '2.5.29.31',
  extendedKeyUsage: '2.5.29.37',
} as const;

/** Entries at most of each kind of list: a certificate of tens of kilobytes costs no more than an ordinary one. */
const limits = { extensions: 128, names: 1_024, usages: 64, points: 32 } as const;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `[3] { SEQUENCE OF Extension }`. Throws `WireError`. */
export function readExtensions(value: DerValue | undefined): CertificateExtensions {
  if (value === undefined) return readExtensionList(new DerReader(new Uint8Array(0)));
  const outer = DerReader.inside(value);
  const found = readExtensionList(outer.enter('extensions'));
  outer.end('extensions');
  return found;
}

/** The extensions that are left in a list. Throws `WireError`. */
export function readExtensionList(list: DerReader): CertificateExtensions {
  const unknownCritical: string[] = [];
  const found: Mutable<CertificateExtensions> = {
    alternativeNames: [],
    crlDistributionPoints: [],
    unknownCritical,
  };
  const seen = new Set<string>();
  for (const extension of list.all('extension', limits.extensions)) {
    const { oid, critical, content, contentOffset } = readExtension(extension);
    if (seen.has(oid)) throw new WireError('bad-value', contentOffset, `extension ${oid} twice`);
    seen.add(oid);
    switch (oid) {
      case extensionOids.keyUsage:
        found.keyUsage = readKeyUsage(parseDer(content, 'key usage', derTags['BIT STRING']));
        break;
      case extensionOids.basicConstraints:
        found.basicConstraints = readBasicConstraints(content);
        break;
      case extensionOids.extendedKeyUsage:
        found.extendedKeyUsage = DerReader.inside(parseDer(content, 'extended key usage', derTags.SEQUENCE))
          .all('extended key usage', limits.usages)
          .map(readOid);
        break;
      case extensionOids.subjectAltName:
        found.alternativeNames = readGeneralNames(content);
        break;
      case extensionOids.crlDistributionPoints:
        found.crlDistributionPoints = readDistributionPoints(content);
        break;
      default:
        if (critical) unknownCritical.push(oid);
    }
  }
  return found;
}

/** Extension ::= SEQUENCE { extnID, critical DEFAULT FALSE, extnValue }. Throws `WireError`. */
export function readExtension(extension: DerValue): {
  readonly oid: string;
  readonly critical: boolean;
  readonly content: Uint8Array;
  readonly contentOffset: number;
} {
  const reader = DerReader.inside(extension);
  const oid = readOid(reader.next('extension identifier', derTags.OID));
  const flag = reader.optional('critical', derTags.BOOLEAN);
  const { content, contentOffset } = reader.next(`extension ${oid}`, derTags['OCTET STRING']);
  reader.end(`extension ${oid}`);
  return { oid, critical: flag !== undefined && readBoolean(flag, 'critical'), content, contentOffset };
}

function readKeyUsage(value: DerValue): ReadonlySet<KeyUsage> {
  const { octets } = readBitString(value, 'key usage');
  return new Set(keyUsages.filter((_, bit) => ((octets[bit >> 3] ?? 0) & (0x80 >> (bit & 7))) !== 0));
}

function readBasicConstraints(content: Uint8Array): { ca: boolean; pathLength?: number } {
  const reader = DerReader.inside(parseDer(content, 'basic constraints', derTags.SEQUENCE));
  const ca = reader.optional('cA', derTags.BOOLEAN);
  const pathLength = reader.optional('path length', derTags.INTEGER);
  reader.end('basic constraints');
  return {
    ca: ca !== undefined && readBoolean(ca, 'cA'),
    ...(pathLength === undefined ? {} : { pathLength: readSmallInteger(pathLength, 'path length') }),
  };
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

function readGeneralNames(content: Uint8Array): AlternativeName[] {
  const values = DerReader.inside(parseDer(content, 'alternative names', derTags.SEQUENCE));
  return values.all('alternative name', limits.names).flatMap((value): AlternativeName[] => {
    switch (value.tag) {
      case primitiveContextTag(1):
        return [{ kind: 'email', name: latin1(value.content) }];
      case primitiveContextTag(2):
        return [{ kind: 'dns', name: latin1(value.content) }];
      case contextTag(4):
        return [
          {
            kind: 'directory',
            name: readName(DerReader.inside(value).next('directory name', derTags.SEQUENCE)),
          },
        ];
      case primitiveContextTag(7):
        if (value.content.length !== 4 && value.content.length !== 16)
          throw new WireError('bad-length', value.contentOffset, 'address among the alternative names');
        return [{ kind: 'address', address: addressFromBytes(value.content) }];
      default:
        return [];
    }
  });
}

/** The URIs of all distribution points. */
function readDistributionPoints(content: Uint8Array): string[] {
  const points = DerReader.inside(parseDer(content, 'CRL distribution points', derTags.SEQUENCE));
  return points.all('distribution point', limits.points).flatMap(point => {
    const names = DerReader.inside(point).optional('distribution point name', contextTag(0));
    const full = names && DerReader.inside(names).optional('full name', contextTag(0));
    if (full === undefined) return [];
    return DerReader.inside(full)
      .all('general name', limits.points)
      .filter(({ tag }) => tag === primitiveContextTag(6))
      .map(name => latin1(name.content));
  });
}
