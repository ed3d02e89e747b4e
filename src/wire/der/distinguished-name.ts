/** Distinguished names: as DER (RFC 5280 4.1.2.4), and as the text Windows and `CERT:"…"` write. */
import { bytesEqual, toHex, WireError } from '../bytes.js';
import { escapeHidden } from '../printable.js';
import { DerReader, type DerValue, derTags, parseDer, readOid, readText } from './der.js';
import { derOid, derSequence, derSetOf, derValue } from './der-writer.js';

/** One `type=value`; a multi-valued RDN is several with the same `rdn`. */
export interface NameAttribute {
  /** Position of its RDN, most general first. */
  readonly rdn: number;
  /** `CN`, `O`, … or the dotted identifier of a type without a short name. */
  readonly type: string;
  readonly value: string;
}

export interface DistinguishedName {
  /** The DER as it was read. */
  readonly der: Uint8Array;
  readonly attributes: readonly NameAttribute[];
  /** `C=US, O=Example, CN=Example Root`, as Windows shows it. */
  readonly text: string;
}

/** Short names as Windows prints them, and other spellings read. */
const attributeTypes: readonly {
  readonly oid: string;
  readonly name: string;
  readonly aliases?: readonly string[];
}[] = [
  { oid: '2.5.4.3', name: 'CN', aliases: ['COMMONNAME'] },
  { oid: '2.5.4.4', name: 'SN', aliases: ['SURNAME'] },
  { oid: '2.5.4.5', name: 'SERIALNUMBER' },
  { oid: '2.5.4.6', name: 'C', aliases: ['COUNTRYNAME'] },
  { oid: '2.5.4.7', name: 'L', aliases: ['LOCALITYNAME'] },
  { oid: '2.5.4.8', name: 'S', aliases: ['ST', 'STATEORPROVINCENAME'] },
  { oid: '2.5.4.9', name: 'STREET' },
  { oid: '2.5.4.10', name: 'O', aliases: ['ORGANIZATIONNAME'] },
  { oid: '2.5.4.11', name: 'OU', aliases: ['ORGANIZATIONALUNITNAME'] },
  { oid: '2.5.4.12', name: 'T', aliases: ['TITLE'] },
  { oid: '2.5.4.42', name: 'G', aliases: ['GIVENNAME'] },
  { oid: '2.5.4.43', name: 'I', aliases: ['INITIALS'] },
  { oid: '0.9.2342.19200300.100.1.25', name: 'DC' },
  { oid: '1.2.840.113549.1.9.1', name: 'E', aliases: ['EMAIL', 'EMAILADDRESS'] },
];

const nameOfOid = new Map(attributeTypes.map(({ oid, name }) => [oid, name]));
const canonicalNames = new Map(
  attributeTypes.flatMap(({ oid, name, aliases = [] }) =>
    [name, oid, `OID.${oid}`, ...aliases].map(spelling => [spelling, name] as const),
  ),
);

/** The identifier of a short name, for writing a name. */
export const attributeOids: ReadonlyMap<string, string> = new Map(
  attributeTypes.map(({ oid, name }) => [name, oid]),
);

/** Attributes of one name at most. */
const maxAttributes = 64;

/** Reads a Name. Throws `WireError`. */
export function readName(value: DerValue): DistinguishedName {
  const attributes: NameAttribute[] = [];
  const rdns = DerReader.inside(value).all('RDN', maxAttributes);
  for (const [rdn, set] of rdns.entries()) {
    if (set.tag !== derTags.SET) throw new WireError('bad-value', set.contentOffset, 'RDN: not a set');
    for (const pair of DerReader.inside(set).all('name attribute', maxAttributes)) {
      const reader = DerReader.inside(pair);
      const oid = readOid(reader.next('attribute type', derTags.OID));
      const content = reader.next('attribute value');
      attributes.push({ rdn, type: nameOfOid.get(oid) ?? oid, value: attributeText(content) });
    }
  }
  return { der: value.bytes, attributes, text: printAttributesOf(attributes) };
}

/** Reads the Name that fills `der`: the data of an `ID_DER_ASN1_DN`, or of a certificate request. Throws `WireError`. */
export function parseNameDer(der: Uint8Array): DistinguishedName {
  return readName(parseDer(der, 'name', derTags.SEQUENCE));
}

/** A value that is no text keeps its place as hexadecimal, as RFC 4514 writes it. */
function attributeText(value: DerValue): string {
  try {
    return readText(value, 'attribute value');
  } catch (error) {
    if (error instanceof WireError) return `#${toHex(value.bytes)}`;
    throw error;
  }
}

function printAttributesOf(attributes: readonly NameAttribute[]): string {
  return attributes
    .map(({ rdn, type, value }, i) => {
      const separator = i === 0 ? '' : attributes[i - 1]?.rdn === rdn ? ' + ' : ', ';
      return `${separator}${type}=${quoteValue(value)}`;
    })
    .join('');
}

/** Windows quotes what would read as something else, and doubles the quotes inside. Control characters are escaped. */
function quoteValue(value: string): string {
  const shown = escapeHidden(value, code =>
    code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`,
  );
  return shown === '' || /[,+="<>#;]|^\s|\s$/.test(shown) ? `"${shown.replaceAll('"', '""')}"` : shown;
}

/**
 * Reads `C=US, O="Example, Inc.", CN=Root`: separators `,` or `;`, `+` within an RDN, values quoted or with
 * backslashes. `undefined` when it is no name.
 */
export function parseNameText(text: string): NameAttribute[] | undefined {
  const attributes: NameAttribute[] = [];
  // No two neighbours match the same blanks: each text is read in one go, whatever is wrong with it.
  const pattern = /\s*([A-Za-z][\w.-]*|\d[\d.]*)\s*=(\s*"(?:[^"]|"")*"\s*|(?:\\.|[^,;+"\\])*)([,;+]|$)/y;
  let rdn = 0;
  for (;;) {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    const [, type = '', raw = '', separator = ''] = match;
    attributes.push({ rdn, type: canonicalNames.get(type.toUpperCase()) ?? type, value: unquoteValue(raw) });
    if (separator === '') return attributes;
    if (separator !== '+') rdn++;
  }
}

function unquoteValue(written: string): string {
  const raw = written.trim();
  if (raw.startsWith('"')) return raw.slice(1, -1).replaceAll('""', '"');
  // Pairs of digits are octets of UTF-8 (RFC 4514 2.4).
  return raw.replace(/((?:\\[\da-fA-F]{2})+)|\\(.)/g, (_, octets?: string, escaped?: string) =>
    octets === undefined ? (escaped ?? '') : Buffer.from(octets.replaceAll('\\', ''), 'hex').toString('utf8'),
  );
}

/**
 * Whether two names are the same: byte for byte, or by RFC 5280 7.1 (case and runs of blanks do not count, nor the
 * string type).
 */
export function namesEqual(a: DistinguishedName, b: DistinguishedName): boolean {
  return bytesEqual(a.der, b.der) || sameAttributes(a.attributes, b.attributes);
}

/** Whether `text` writes this name, most general RDN first (as Windows) or last (as LDAP). */
export function nameMatchesText(name: DistinguishedName, text: string): boolean {
  const wanted = parseNameText(text);
  if (wanted === undefined) return false;
  return sameAttributes(name.attributes, wanted) || sameAttributes(name.attributes, reversed(wanted));
}

function reversed(attributes: readonly NameAttribute[]): NameAttribute[] {
  const last = attributes.at(-1)?.rdn ?? 0;
  return attributes
    .map(attribute => ({ ...attribute, rdn: last - attribute.rdn }))
    .sort((a, b) => a.rdn - b.rdn);
}

function sameAttributes(a: readonly NameAttribute[], b: readonly NameAttribute[]): boolean {
  const canonical = (attributes: readonly NameAttribute[]) =>
    attributes
      .map(({ rdn, type, value }) => `${rdn}\n${type}\n${value.trim().replace(/\s+/g, ' ').toLowerCase()}`)
      .sort()
      .join('\n\n');
  return a.length > 0 && a.length === b.length && canonical(a) === canonical(b);
}

/** The DER of a name: PrintableString and IA5String where the attribute wants them, UTF8String elsewhere. */
export function encodeName(attributes: readonly NameAttribute[]): Uint8Array {
  const rdns = new Map<number, Uint8Array[]>();
  for (const { rdn, type, value } of attributes) {
    const pair = derSequence(
      derOid(attributeOids.get(type) ?? type),
      derValue(stringTag(type), Buffer.from(value)),
    );
    rdns.set(rdn, [...(rdns.get(rdn) ?? []), pair]);
  }
  return derSequence(...[...rdns.values()].map(pairs => derSetOf(...pairs)));
}

function stringTag(type: string): number {
  if (type === 'C' || type === 'SERIALNUMBER') return derTags.PrintableString;
  return type === 'E' || type === 'DC' ? derTags.IA5String : derTags.UTF8String;
}
