/**
 * Proposals in the short form the other daemons use: `3des-sha1-modp1024` for IKE, `aes128-sha256` or
 * `aes128gcm16` for ESP, `sha1` for AH, each with an optional `-modpN` for PFS. Words come from the algorithm table.
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
}

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
    return {
      esp: { encryption: words.encryption, ...(words.hash === undefined ? {} : { hash: words.hash }) },
      ...pfsOf(words),
    };
  });
}

/** Parses `sha1,md5-modp1024`. Throws `IpseckitError` (USAGE) naming the word. */
export function parseAhProposals(text: string): SecurityMethod[] {
  return split(text).map(proposal => {
    const words = parseWords(proposal, 'AH');
    if (words.hash === undefined || words.encryption !== undefined)
      throw unusable(proposal, `AH takes a hash: ${hashIds.join(', ')}`);
    return { ah: { hash: words.hash }, ...pfsOf(words) };
  });
}

/** `3des-sha1-modp1024`. */
export function printIkeProposal(method: MainModeMethod): string {
  return `${method.encryption}-${method.hash}-${dhGroups[method.group].name}`;
}

/** `esp 3des-sha1`, `ah sha1`, `ah sha1 + esp des`, with the PFS group behind. */
export function printSecurityMethod(method: SecurityMethod): string {
  const parts = [
    ...(method.ah ? [`ah ${method.ah.hash}`] : []),
    ...(method.esp ? [`esp ${[method.esp.encryption, method.esp.hash].filter(Boolean).join('-')}`] : []),
  ];
  const pfs = method.pfs
    ? ` pfs ${method.pfs.group === undefined ? 'on' : dhGroups[method.pfs.group].name}`
    : '';
  return parts.join(' + ') + pfs;
}

function pfsOf(words: Words): Pick<SecurityMethod, 'pfs'> {
  return words.group === undefined ? {} : { pfs: { group: words.group } };
}

function split(text: string): string[] {
  return text
    .split(',')
    .map(proposal => proposal.trim().toLowerCase())
    .filter(proposal => proposal !== '');
}

function parseWords(proposal: string, use: string): Words {
  const words: Words = {};
  for (const word of proposal.split('-')) {
    const cipher = encryptionSpellings.get(word);
    const integrity = hashSpellings.get(word);
    const dh = groupSpellings.get(word);
    if (cipher !== undefined && words.encryption === undefined) words.encryption = cipher;
    else if (integrity !== undefined && words.hash === undefined) words.hash = integrity;
    else if (dh !== undefined && words.group === undefined) words.group = dh;
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
