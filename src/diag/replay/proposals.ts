/** What was offered in an SA payload, what was chosen, and how the others differ from that. */
import { encryption, encryptionIds, group, groupIds, hash, hashIds } from '../../crypto/algorithms.js';
import type { AttributeMismatch } from '../../ike/api.js';
import { readTransform } from '../../ike/transform-attributes.js';
import type { MainModeMethod } from '../../policy/model.js';
import { attributeNumber, printAttributes } from '../../wire/isakmp/attributes.js';
import {
  attributeNames,
  nameOf,
  phase1Attributes,
  printNumber,
  protocols,
  transformIds,
} from '../../wire/isakmp/numbers.js';
import type { Proposal, SaPayload, Transform } from '../../wire/isakmp/payloads.js';
import type { OfferedTransform, ProposalDecision } from './report.js';

/**
 * The decision an answer made. Without an answer nothing was chosen. `xauth`: the initiator speaks XAUTH, whose methods
 * share their numbers with others.
 */
export function proposalDecision(
  offer: SaPayload,
  answer: SaPayload | undefined,
  xauth = false,
): ProposalDecision {
  const offers = transformsOf(offer);
  const [picked] = answer === undefined ? [] : transformsOf(answer);
  const describe = (one: Offer) => describeOffer(one, xauth);
  const offered = offers.map(describe);
  if (picked === undefined) return { offered, notChosen: [] };
  const chosen =
    offers.find(one => isSame(one, picked)) ?? offers.find(one => hasNumbersOf(one, picked)) ?? picked;
  // Transforms of other proposals with the chosen one's number belong to it.
  const others = offers.filter(
    one =>
      one !== chosen && !(one.proposal.number === chosen.proposal.number && one.proposal !== chosen.proposal),
  );
  return {
    offered,
    chosen: describe(picked),
    notChosen: others.map(one => ({
      ...describe(one),
      differences: namedForXauth(differencesOf(one, chosen), xauth),
    })),
  };
}

interface Offer {
  readonly proposal: Proposal;
  readonly transform: Transform;
}

function transformsOf(sa: SaPayload): Offer[] {
  return sa.proposals.flatMap(proposal => proposal.transforms.map(transform => ({ proposal, transform })));
}

/** What the numbers of Kerberos and of its GSS-API mean between those who speak XAUTH. */
const xauthNames: readonly (readonly [RegExp, string])[] = [
  [/\bKerberos\b/, 'XAUTH pre-shared key (initiator)'],
  [/\bGSS-API\b/, 'XAUTH pre-shared key (responder)'],
];

function nameForXauth(text: string): string {
  return xauthNames.reduce((named, [pattern, name]) => named.replace(pattern, name), text);
}

/** The same differences, with the names the methods have in XAUTH. */
export function namedForXauth(
  differences: readonly AttributeMismatch[],
  xauth: boolean,
): readonly AttributeMismatch[] {
  if (!xauth) return differences;
  return differences.map(one => ({
    ...one,
    wanted: nameForXauth(one.wanted),
    offered: nameForXauth(one.offered),
  }));
}

function describeOffer({ proposal, transform }: Offer, xauth: boolean): OfferedTransform {
  const { protocol } = proposal;
  const id = printNumber(transformIds[protocol] ?? {}, transform.transformId);
  const head = protocol === protocols.ISAKMP ? [] : [`${nameOf(protocols, protocol)} ${id}`];
  const text = [...head, ...printAttributes(transform.attributes, protocol)].join(', ');
  return {
    proposal: proposal.number,
    transform: transform.number,
    text: xauth ? nameForXauth(text) : text,
  };
}

/** With a lifetime of its own, say. */
function hasNumbersOf(one: Offer, picked: Offer): boolean {
  return (
    one.proposal.number === picked.proposal.number &&
    one.proposal.protocol === picked.proposal.protocol &&
    one.transform.number === picked.transform.number
  );
}

/** Peers renumber, so the content decides. */
function isSame(one: Offer, picked: Offer): boolean {
  return one.proposal.protocol === picked.proposal.protocol && differencesOf(one, picked).length === 0;
}

function differencesOf(one: Offer, chosen: Offer): AttributeMismatch[] {
  const [offered, wanted] = [valuesOf(one), valuesOf(chosen)];
  const names = new Set([...wanted.keys(), ...offered.keys()]);
  return [...names].flatMap(attribute => {
    const [is, was] = [offered.get(attribute) ?? 'none', wanted.get(attribute) ?? 'none'];
    if (is === was) return [];
    const place = { proposal: one.proposal.number, transform: one.transform.number };
    return [{ ...place, attribute, wanted: was, offered: is }];
  });
}

function valuesOf({ proposal: { protocol }, transform }: Offer): Map<string, string> {
  const names = attributeNames(protocol);
  const values = new Map([
    ['protocol', nameOf(protocols, protocol)],
    ['transform', nameOf(transformIds[protocol] ?? {}, transform.transformId)],
  ]);
  for (const attribute of transform.attributes) {
    const value = attributeNumber(attribute) ?? 0;
    const name = nameOf(names.types, attribute.type);
    // Two lifetimes, in seconds and in kilobytes, have the same names.
    const key = values.has(name) ? `${name} (second)` : name;
    values.set(key, nameOf(names.values[attribute.type] ?? {}, value));
  }
  return values;
}

/** The algorithms of a phase-1 transform; `undefined` when one of them is not known here. */
export function methodOf(sa: SaPayload): MainModeMethod | undefined {
  const { values } = readTransform(1, sa.proposals[0]?.transforms[0]?.attributes ?? []);
  const value = (name: 'encryption' | 'key length' | 'hash' | 'group') => values.get(phase1Attributes[name]);
  const cipher = encryptionIds.find(id => {
    const { ikeId, keyLengthBits } = encryption(id);
    return ikeId !== undefined && ikeId === value('encryption') && keyLengthBits === value('key length');
  });
  const digest = hashIds.find(id => hash(id).ikeId === value('hash'));
  const dhGroup = groupIds.find(id => group(id).id === value('group'));
  if (cipher === undefined || digest === undefined || dhGroup === undefined) return undefined;
  return { encryption: cipher, hash: digest, group: dhGroup };
}
