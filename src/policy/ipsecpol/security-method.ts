/**
 * Security methods in `ipsecpol` words: quick mode `AH[SHA]+ESP[3DES,MD5]3600S/50000KPFS2` (flag `-n`), main mode
 * `3DES-SHA-2` (`-1s`) and its rekey limits `10Q/3600S` (`-1k`). Parsing and printing, from the algorithm table.
 */
import {
  type EncryptionId,
  encryption,
  encryptionIds,
  type GroupId,
  groupIds,
  type HashId,
  hash,
  hashIds,
} from '../../crypto/algorithms.js';
import type { MainModeMethod, SecurityMethod } from '../model.js';
import type { MainModeRekey, NegotiationSpec } from './command.js';
import type { Piece } from './piece.js';

/** Lifetimes are 32 bits wide on the wire. */
const maximumLifetime = 0xffff_ffff;
const maximumQuickModes = 0xffff_ffff;

const encryptionByName: ReadonlyMap<string, EncryptionId> = new Map([
  ...encryptionIds.map(id => [encryption(id).name, id] as const),
  ['AES', 'aes128'],
]);
const hashByName: ReadonlyMap<string, HashId> = new Map(
  hashIds.flatMap(id => [hash(id).name, ...hash(id).aliases].map(name => [name, id] as const)),
);
const groupByNumber: ReadonlyMap<string, GroupId> = new Map(groupIds.map(id => [String(id), id]));

const none = encryption('null').name;
const ciphers = encryptionIds.map(id => encryption(id).name).filter(name => name !== none);
const hashes = hashIds.map(id => hash(id).name);

/** The words a usage text lists. */
export const algorithmNames = {
  esp: ciphers,
  ike: encryptionIds.filter(id => encryption(id).ikeId !== undefined).map(id => encryption(id).name),
  hash: hashes,
  group: groupIds.map(String),
} as const;

const keywords: ReadonlyMap<string, 'block' | 'pass' | 'inpass'> = new Map([
  ['BLOCK', 'block'],
  ['PASS', 'pass'],
  ['INPASS', 'inpass'],
]);

/** Parses one `-n` item. Throws `IpseckitError` (USAGE, UNSUPPORTED) with argument and column. */
export function parseNegotiation(spec: Piece): NegotiationSpec {
  const keyword = keywords.get(spec.text.toUpperCase());
  if (keyword !== undefined) return { kind: keyword };
  if (spec.text.toUpperCase() === 'INSOFT')
    spec.fail('INSOFT is not supported', {
      code: 'UNSUPPORTED',
      next: 'use INPASS, and -soft for falling back',
    });
  return { kind: 'method', method: parseSecurityMethod(spec) };
}

/** Canonical text of a `-n` item. */
export function printNegotiation(spec: NegotiationSpec): string {
  return spec.kind === 'method' ? printIpsecpolMethod(spec.method) : spec.kind.toUpperCase();
}

function parseSecurityMethod(spec: Piece): SecurityMethod {
  const shape = /^(?:(AH)\s*\[([^[\]]*)\])?(\s*\+\s*)?(?:(ESP)\s*\[([^[\]]*)\])?/i.exec(spec.text);
  const [suite = '', ah, ahHash = '', plus, esp, espList = ''] = shape ?? [];
  if (ah === undefined && esp === undefined)
    spec.expected('ESP[cipher,hash], AH[hash], AH[hash]+ESP[cipher,hash], BLOCK, PASS or INPASS');
  if ((plus !== undefined) !== (ah !== undefined && esp !== undefined)) {
    if (ah === undefined) spec.expected('AH[hash] or ESP[cipher,hash]');
    spec.part(suite.length).expected("'+ESP[cipher,hash]', limits or PFS behind AH[hash]");
  }
  const inner = (opening: number, text: string) => spec.part(opening, opening + text.length);
  const ahOpening = spec.text.indexOf('[') + 1;
  const espOpening = suite.lastIndexOf('[') + 1;
  const rest = spec.part(suite.length);
  if (ah === undefined && /^\s*\+/.test(rest.text))
    rest.fail('AH stands before ESP', { next: 'write AH[hash]+ESP[cipher,hash]' });
  return {
    ...(ah === undefined ? {} : { ah: { hash: parseHash(inner(ahOpening, ahHash).trim()) } }),
    ...(esp === undefined ? {} : { esp: parseEsp(inner(espOpening, espList)) }),
    ...parseSuffix(rest.trim()),
  };
}

function parseHash(piece: Piece): HashId {
  return hashByName.get(piece.text.toUpperCase()) ?? piece.expected(`a hash: ${hashes.join(', ')}`);
}

/** What stands in `ESP[…]`: a cipher and a hash in either order, each of which may be `NONE`. */
function parseEsp(list: Piece): NonNullable<SecurityMethod['esp']> {
  const items = list.split(',').map(item => item.trim());
  if (items.length > 2) items[2]?.fail('ESP takes one cipher and one hash');
  let cipher: EncryptionId | undefined;
  let integrity: HashId | undefined;
  let nones = 0;
  for (const item of items) {
    const name = item.text.toUpperCase();
    const cipherId = encryptionByName.get(name);
    const hashId = hashByName.get(name);
    if (name === none) nones++;
    else if (cipherId !== undefined && cipher === undefined) cipher = cipherId;
    else if (hashId !== undefined && integrity === undefined) integrity = hashId;
    else if (cipherId !== undefined) item.expected('a hash beside the cipher');
    else if (hashId !== undefined) item.expected('a cipher beside the hash');
    else item.expected(`a cipher (${ciphers.join(', ')}), a hash (${hashes.join(', ')}) or ${none}`);
  }
  if (cipher === undefined && integrity === undefined && nones === 2)
    list.fail('ESP without encryption and without integrity is not supported', {
      code: 'UNSUPPORTED',
      next: 'name a cipher, a hash, or both',
    });
  const combined = cipher !== undefined && encryption(cipher).tagBytes !== undefined;
  if (combined && integrity !== undefined)
    list.fail(`${encryption(cipher ?? 'null').name} brings its own integrity`, {
      next: 'leave the hash out',
    });
  if (!combined && items.length < 2)
    list.part(list.length).expected(`a cipher and a hash, or ${none} for one of them`);
  return { encryption: cipher ?? 'null', ...(integrity === undefined ? {} : { hash: integrity }) };
}

/** `3600S/50000K`, then `PFS` or `P` with an optional group. */
function parseSuffix(suffix: Piece): Omit<SecurityMethod, 'ah' | 'esp'> {
  const pfsAt = suffix.text.toUpperCase().indexOf('P');
  const limits = parseLimits(suffix.part(0, pfsAt < 0 ? suffix.length : pfsAt).trim(), {
    S: { name: 'lifetimeSeconds', low: 1, high: maximumLifetime },
    K: { name: 'lifetimeKilobytes', low: 1, high: maximumLifetime },
  });
  if (pfsAt < 0) return limits;
  const pfs = suffix.part(pfsAt);
  const [, group = ''] =
    /^P(?:FS)?(\d*)$/i.exec(pfs.text) ?? pfs.expected('PFS or P, with or without a group');
  const groupPiece = pfs.part(pfs.length - group.length);
  return { ...limits, pfs: group === '' ? {} : { group: parseGroup(groupPiece) } };
}

function parseGroup(piece: Piece): GroupId {
  return groupByNumber.get(piece.text) ?? piece.expected(`a group: ${algorithmNames.group.join(', ')}`);
}

interface Limit<Name extends string> {
  readonly name: Name;
  readonly low: number;
  readonly high: number;
}

/** One or two numbers with unit letters, joined by `/`: `3600S/50000K`, `10Q/3600S`. Empty text is no limit. */
function parseLimits<Name extends string>(
  piece: Piece,
  units: Readonly<Record<string, Limit<Name>>>,
): Partial<Record<Name, number>> {
  const limits: Partial<Record<Name, number>> = {};
  if (piece.length === 0) return limits;
  const letters = Object.keys(units);
  const shape = `a number with ${letters.join(' or ')}, or both joined by '/'`;
  for (const item of piece.split('/')) {
    const unit = units[item.text.slice(-1).toUpperCase()];
    if (unit === undefined) return item.expected(shape);
    if (limits[unit.name] !== undefined) item.fail(`a second limit in ${item.text.slice(-1).toUpperCase()}`);
    limits[unit.name] = item.part(0, item.length - 1).number(unit.low, unit.high, 'a number');
  }
  return limits;
}

/** Canonical `-n` text of a method; it parses to the same method, but for extended sequence numbers. */
export function printIpsecpolMethod(method: SecurityMethod): string {
  return printSuite(method) + printMethodLimits(method) + printMethodPfs(method);
}

/** A method for people: `printIpsecpolMethod`, and behind it what `ipsecpol` has no word for. */
export function describeMethod(method: SecurityMethod): string {
  return printIpsecpolMethod(method) + describeSequence(method);
}

/** ` (ESN)` for extended sequence numbers, or nothing. */
export function describeSequence({ extendedSequence }: SecurityMethod): string {
  return extendedSequence ? ' (ESN)' : '';
}

/** `AH[SHA]+ESP[3DES,NONE]`. */
export function printSuite({ ah, esp }: SecurityMethod): string {
  const parts: string[] = [];
  if (ah) parts.push(`AH[${hash(ah.hash).name}]`);
  if (esp) {
    const combined = encryption(esp.encryption).tagBytes !== undefined;
    const integrity = esp.hash === undefined ? (combined ? [] : [none]) : [hash(esp.hash).name];
    parts.push(`ESP[${[encryption(esp.encryption).name, ...integrity].join(',')}]`);
  }
  return parts.join('+');
}

/** `3600S/50000K`, or as much of it as is set. */
export function printMethodLimits(
  method: Pick<SecurityMethod, 'lifetimeSeconds' | 'lifetimeKilobytes'>,
): string {
  return printLimits([
    [method.lifetimeSeconds, 'S'],
    [method.lifetimeKilobytes, 'K'],
  ]);
}

/** `PFS2`, `PFS`, or nothing. */
export function printMethodPfs({ pfs }: SecurityMethod): string {
  return pfs ? `PFS${pfs.group ?? ''}` : '';
}

function printLimits(limits: readonly (readonly [number | undefined, string])[]): string {
  return limits.flatMap(([limit, unit]) => (limit === undefined ? [] : [`${limit}${unit}`])).join('/');
}

/** Parses a `-1s` item, `3DES-SHA-2`. Throws `IpseckitError` (USAGE, UNSUPPORTED) with argument and column. */
export function parseMainModeMethod(spec: Piece): MainModeMethod {
  const [cipherPiece, hashPiece, groupPiece, extra] = spec.split('-');
  if (hashPiece === undefined || groupPiece === undefined || extra !== undefined)
    spec.expected('cipher-hash-group, for example 3DES-SHA-2');
  const cipher = encryptionByName.get(cipherPiece.text.toUpperCase());
  if (cipher === undefined || encryption(cipher).ikeId === undefined)
    return cipherPiece.expected(`a main mode cipher: ${algorithmNames.ike.join(', ')}`);
  return { encryption: cipher, hash: parseHash(hashPiece), group: parseGroup(groupPiece) };
}

/** `3DES-SHA-2`. */
export function printMainModeMethod(method: MainModeMethod): string {
  return `${encryption(method.encryption).name}-${hash(method.hash).name}-${method.group}`;
}

/** Parses `-1k`, `10Q/3600S`. Throws `IpseckitError` (USAGE) with argument and column. */
export function parseMainModeRekey(spec: Piece): MainModeRekey {
  if (spec.length === 0) spec.expected('a number with Q or S');
  return parseLimits(spec, {
    Q: { name: 'quickModes', low: 0, high: maximumQuickModes },
    S: { name: 'seconds', low: 1, high: maximumLifetime },
  });
}

/** `10Q/3600S`. */
export function printMainModeRekey({ quickModes, seconds }: MainModeRekey): string {
  return printLimits([
    [quickModes, 'Q'],
    [seconds, 'S'],
  ]);
}
