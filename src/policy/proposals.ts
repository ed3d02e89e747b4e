/**
 * Proposals in the short form the other daemons use: `3des-sha1-modp1024` for IKE, `aes128-sha256` or
 * `aes128gcm16` for ESP, `sha1` for AH, these two with an optional `-modpN` for PFS and `-esn` for extended sequence numbers.
 * Words come from the algorithm table.
 */
import {
  dhGroups,
  type EncryptionId,
  encryption,
  encryptionIds,
  type GroupId,
  groupIds,
  type HashId,
  hashIds,
} from '../crypto/algorithms.js';
import { IpseckitError } from '../report/errors.js';
import type { MainModeMethod, SecurityMethod } from './model.js';

interface Words {
  encryption?: EncryptionId;
  hash?: HashId;
  group?: GroupId;
  extendedSequence?: true;
}

/** Asks for extended sequence numbers. */
const extendedWord = 'esn';

/** What a command line says for a cipher: the table's key, or a spelling other daemons use. */
const encryptionSpellings: ReadonlyMap<string, EncryptionId> = new Map([
  ...encryptionIds.map(id => [id, id] as const),
  ['aes', 'aes128'],
  ['aes128gcm16', 'aes128gcm'],
  ['aes192gcm16', 'aes192gcm'],
  ['aes256gcm16', 'aes256gcm'],
]);

const hashSpellings: ReadonlyMap<string, HashId> = new Map([
  ...hashIds.map(id => [id, id] as const),
  ['sha', 'sha1'],
  ['sha2_256', 'sha256'],
  ['sha2_384', 'sha384'],
  ['sha2_512', 'sha512'],
]);

const groupSpellings: ReadonlyMap<string, GroupId> = new Map(groupIds.map(id => [dhGroups[id].name, id]));

/** Parses `3des-sha1-modp1024[,aes128-sha256-modp2048…]`. Throws `IpseckitError` (USAGE) naming the word. */
export function parseIkeProposals(text: string): MainModeMethod[] {
  return split(text).map(proposal => {
    const words = parseWords(proposal, 'IKE');
    if (words.encryption === undefined || encryption(words.encryption).ikeId === undefined)
      throw unusable(proposal, 'IKE needs a cipher: 3des, des, aes128, aes192 or aes256');
    if (words.hash === undefined) throw unusable(proposal, `IKE needs a hash: ${hashIds.join(', ')}`);
    if (words.group === undefined)
      throw unusable(proposal, `IKE needs a group: ${[...groupSpellings.keys()].join(', ')}`);
    return { encryption: words.encryption, hash: words.hash, group: words.group };
  });
}

/** Parses `aes128-sha256,3des-sha1-modp1024`. Throws `IpseckitError` (USAGE) naming the word. */
export function parseEspProposals(text: string): SecurityMethod[] {
  return split(text).map(proposal => {
    const words = parseWords(proposal, 'ESP');
    if (words.encryption === undefined) throw unusable(proposal, 'ESP needs a cipher, or null');
    const combined = encryption(words.encryption).tagBytes !== undefined;
    if (combined && words.hash !== undefined)
      throw unusable(proposal, 'a GCM cipher brings its own integrity: leave the hash out');
    if (words.encryption === 'null' && words.hash === undefined)
      throw unusable(proposal, 'null encryption needs a hash');
    if (words.extendedSequence && words.hash === undefined && !combined)
      throw unusable(proposal, 'extended sequence numbers need integrity: a hash, or a GCM cipher');
    return {
      esp: { encryption: words.encryption, ...(words.hash === undefined ? {} : { hash: words.hash }) },
      ...commonOf(words),
    };
  });
}

/** Parses `sha1,md5-modp1024`. Throws `IpseckitError` (USAGE) naming the word. */
export function parseAhProposals(text: string): SecurityMethod[] {
  return split(text).map(proposal => {
    const words = parseWords(proposal, 'AH');
    if (words.hash === undefined || words.encryption !== undefined)
      throw unusable(proposal, `AH takes a hash: ${hashIds.join(', ')}`);
    return { ah: { hash: words.hash }, ...commonOf(words) };
  });
}

/** `3des-sha1-modp1024`. */
export function printIkeProposal(method: MainModeMethod): string {
  return `${method.encryption}-${method.hash}-${dhGroups[method.group].name}`;
}

/** `esp 3des-sha1`, `ah sha1-esn`, `ah sha1 + esp des`, with the PFS group behind. */
export function printSecurityMethod(method: SecurityMethod): string {
  const words = (...own: readonly (string | undefined)[]) =>
    [...own, method.extendedSequence ? extendedWord : undefined].filter(Boolean).join('-');
  const parts = [
    ...(method.ah ? [`ah ${words(method.ah.hash)}`] : []),
    ...(method.esp ? [`esp ${words(method.esp.encryption, method.esp.hash)}`] : []),
  ];
  const pfs = method.pfs
    ? ` pfs ${method.pfs.group === undefined ? 'on' : dhGroups[method.pfs.group].name}`
    : '';
  return parts.join(' + ') + pfs;
}

function commonOf({ group, extendedSequence }: Words): Pick<SecurityMethod, 'pfs' | 'extendedSequence'> {
  return {
    ...(group === undefined ? {} : { pfs: { group } }),
    ...(extendedSequence === undefined ? {} : { extendedSequence }),
  };
}

function split(text: string): string[] {
  return text
    .split(',')
    .map(proposal => proposal.trim().toLowerCase())
    .filter(proposal => proposal !== '');
}

function parseWords(proposal: string, use: 'IKE' | 'ESP' | 'AH'): Words {
  const words: Words = {};
  for (const word of proposal.split('-')) {
    const cipher = encryptionSpellings.get(word);
    const integrity = hashSpellings.get(word);
    const dh = groupSpellings.get(word);
    if (cipher !== undefined && words.encryption === undefined) words.encryption = cipher;
    else if (integrity !== undefined && words.hash === undefined) words.hash = integrity;
    else if (dh !== undefined && words.group === undefined) words.group = dh;
    else if (word === extendedWord && use !== 'IKE' && words.extendedSequence === undefined)
      words.extendedSequence = true;
    else
      throw unusable(
        proposal,
        `"${word}" is not an algorithm ipseckit knows for ${use}, or stands there twice`,
      );
  }
  return words;
}

function unusable(proposal: string, why: string): IpseckitError {
  const ciphers = [...encryptionSpellings.keys()].join(' ');
  return new IpseckitError('USAGE', `proposal "${proposal}": ${why}`, {
    next: `ciphers: ${ciphers}; hashes: ${[...hashSpellings.keys()].join(' ')}; groups: ${[...groupSpellings.keys()].join(' ')}`,
  });
}
