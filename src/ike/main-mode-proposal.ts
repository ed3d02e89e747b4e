/**
 * Phase-1 proposals: building ours, choosing from the peer's, checking its answer (RFC 2409 5 and appendix A,
 * ike.md 12). Every transform refused is kept as data.
 */
import { encryption, group, hash } from '../crypto/algorithms.js';
import type { MainModeMethod } from '../policy/model.js';
import { type DataAttribute, tv } from '../wire/isakmp/attributes.js';
import {
  decodeLimits,
  dois,
  keyIke,
  lifeTypes,
  nameOf,
  phase1Attributes,
  phase1Values,
  protocols,
  situations,
} from '../wire/isakmp/numbers.js';
import type { Proposal, SaPayload, Transform } from '../wire/isakmp/payloads.js';
import type { AttributeMismatch, MainModePolicy } from './api.js';
import { type AuthenticationOffer, authenticationOffers } from './auth/offers.js';
import { agreeSeconds, mainModeSeconds } from './lifetimes.js';
import type { CandidateFilter, MainMode, MainModeChoice } from './main-mode.js';
import {
  closest,
  type Difference,
  lifeAttributePair,
  type ReadAttributes,
  readTransform,
} from './transform-attributes.js';

/** The result of weighing an SA payload. */
export type MainModeVerdict =
  | { readonly chosen: MainModeChoice; readonly proposal: Proposal; readonly transform: Transform }
  /** Worked out when it is asked for: anybody can send an offer. */
  | { readonly refused: readonly AttributeMismatch[] };

/** Our SA payload: one proposal, one transform for each way to authenticate and method, in order of preference. */
export function mainModeSa(
  policy: MainModePolicy,
  windowsForm: boolean,
  only: CandidateFilter = () => true,
): SaPayload {
  const lifetime = mainModeSeconds(policy.lifetimeSeconds);
  const transforms = candidates(policy, only, 'initiator').map(({ method, authentication }, index) => ({
    number: index + 1,
    transformId: keyIke,
    attributes: [
      ...methodAttributes(method, authentication),
      ...lifeAttributePair(1, lifeTypes.seconds, lifetime, windowsForm),
    ],
  }));
  return saPayload([{ number: 1, protocol: protocols.ISAKMP, spi: new Uint8Array(0), transforms }]);
}

interface Candidate {
  readonly method: MainModeMethod;
  readonly authentication: AuthenticationOffer;
}

/** What we offer and accept, preferred first: the way to authenticate weighs more than the algorithms. */
function candidates(policy: MainModePolicy, only: CandidateFilter, role: MainMode['role']): Candidate[] {
  return authenticationOffers(policy, role)
    .flatMap(authentication => policy.methods.map(method => ({ method, authentication })))
    .filter(only)
    .slice(0, decodeLimits.transformsPerSa);
}

/** Chooses as responder: the first of our methods that the peer offers. */
export function chooseMainMode(
  sa: SaPayload,
  policy: MainModePolicy,
  only: CandidateFilter = () => true,
  role: MainMode['role'] = 'responder',
): MainModeVerdict {
  const offers = offersOf(sa);
  const wanted = candidates(policy, only, role);
  for (const candidate of wanted) {
    const values = valuesOf(candidate);
    const match = offers.find(offer => isWanted(values, offer));
    if (match === undefined) continue;
    const { proposal, transform, read } = match;
    return {
      chosen: {
        ...candidate,
        lifetimeSeconds: agreeSeconds(mainModeSeconds(policy.lifetimeSeconds), read.lifetimeSeconds),
        ...(read.lifetimeSeconds === undefined ? {} : { offeredSeconds: read.lifetimeSeconds }),
      },
      proposal,
      transform,
    };
  }
  return {
    get refused() {
      return refusals(offers.slice(0, explainedTransforms), wanted);
    },
  };
}

/** Transforms of which a refusal says what is wrong with them. */
const explainedTransforms = 8;

/** Our answer: the chosen transform, as it came but for attributes we do not know. */
export function answerMainMode(proposal: Proposal, transform: Transform): SaPayload {
  const known: readonly number[] = Object.values(phase1Attributes);
  const attributes = transform.attributes.filter(attribute => known.includes(attribute.type));
  return saPayload([{ ...proposal, transforms: [{ ...transform, attributes }] }]);
}

/** Checks as initiator that the peer chose exactly one transform, and one of ours. */
export function acceptMainMode(
  sa: SaPayload,
  policy: MainModePolicy,
  only?: CandidateFilter,
): MainModeVerdict {
  const offers = offersOf(sa);
  const [first] = offers;
  if (first === undefined || offers.length > 1)
    return {
      refused: [
        {
          proposal: first?.proposal.number ?? 0,
          transform: first?.transform.number ?? 0,
          attribute: 'number of transforms',
          wanted: '1',
          offered: String(offers.length),
        },
      ],
    };
  return chooseMainMode(sa, policy, only, 'initiator');
}

interface Offer {
  readonly proposal: Proposal;
  readonly transform: Transform;
  readonly read: ReadAttributes;
}

function offersOf(sa: SaPayload): Offer[] {
  return sa.proposals.flatMap(proposal =>
    proposal.transforms.map(transform => ({
      proposal,
      transform,
      read: readTransform(1, transform.attributes),
    })),
  );
}

/** For each transform of the peer, how it differs from the method of ours that it comes closest to. */
function refusals(offers: readonly Offer[], wanted: readonly Candidate[]): AttributeMismatch[] {
  return offers.flatMap(({ proposal, transform, read }) =>
    closest(wanted.map(candidate => differences(candidate, transform, read))).map(difference => ({
      proposal: proposal.number,
      transform: transform.number,
      ...difference,
    })),
  );
}

/** The values a transform must have to be the candidate; `undefined` where it must have none. */
function valuesOf({ method, authentication }: Candidate): ReadonlyMap<number, number | undefined> {
  const { ikeId, keyLengthBits } = encryption(method.encryption);
  return new Map([
    [phase1Attributes.encryption, ikeId],
    [phase1Attributes['key length'], keyLengthBits],
    [phase1Attributes.hash, hash(method.hash).ikeId],
    [phase1Attributes.group, group(method.group).id],
    [phase1Attributes.authentication, authentication.id],
  ]);
}

/** The same verdict as that of `differences`, with less work. */
function isWanted(wanted: ReadonlyMap<number, number | undefined>, { transform, read }: Offer): boolean {
  if (read.malformed !== undefined || transform.transformId !== keyIke) return false;
  for (const [attribute, value] of wanted) if (read.values.get(attribute) !== value) return false;
  return unacceptable.every(name => !read.values.has(phase1Attributes[name]));
}

/** Attributes that define a group of one's own, or a PRF: none of them is acceptable. */
const unacceptable = [
  'group type',
  'group prime',
  'group generator one',
  'group generator two',
  'group curve A',
  'group curve B',
  'PRF',
  'field size',
  'group order',
] as const;

function differences(
  { method, authentication: own }: Candidate,
  transform: Transform,
  read: ReadAttributes,
): Difference[] {
  const found: Difference[] = [];
  const compare = (attribute: string, wanted: string, offered: string) => {
    if (wanted !== offered) found.push({ attribute, wanted, offered });
  };
  if (read.malformed !== undefined) compare('transform', 'well-formed', read.malformed);
  compare('transform id', String(keyIke), String(transform.transformId));
  const cipher = encryption(method.encryption);
  compare('encryption', encryptionName(cipher.ikeId, cipher.keyLengthBits), offeredEncryption(read));
  const { hash: hashAttribute, group: groupAttribute, authentication } = phase1Attributes;
  compare(
    'hash',
    valueName(hashAttribute, hash(method.hash).ikeId),
    valueName(hashAttribute, read.values.get(hashAttribute)),
  );
  compare(
    'group',
    valueName(groupAttribute, group(method.group).id),
    valueName(groupAttribute, read.values.get(groupAttribute)),
  );
  compare(
    'authentication',
    valueName(authentication, own.id),
    valueName(authentication, read.values.get(authentication)),
  );
  for (const name of unacceptable) {
    const value = read.values.get(phase1Attributes[name]);
    if (value !== undefined) compare(name, 'absent', String(value));
  }
  return found;
}

function offeredEncryption(read: ReadAttributes): string {
  return encryptionName(
    read.values.get(phase1Attributes.encryption),
    read.values.get(phase1Attributes['key length']),
  );
}

/** `3DES`, `AES-128`; the key length belongs to the cipher's name, so that a difference in it shows. */
function encryptionName(ikeId: number | undefined, keyLengthBits: number | undefined): string {
  const name = valueName(phase1Attributes.encryption, ikeId);
  return keyLengthBits === undefined ? name : `${name}-${keyLengthBits}`;
}

function valueName(attribute: number, value: number | undefined): string {
  return value === undefined ? 'none' : nameOf(phase1Values[attribute] ?? {}, value);
}

function methodAttributes(method: MainModeMethod, authentication: AuthenticationOffer): DataAttribute[] {
  const { ikeId, keyLengthBits } = encryption(method.encryption);
  if (ikeId === undefined) throw new TypeError(`${method.encryption} has no IKE number`);
  return [
    tv(phase1Attributes.encryption, ikeId),
    ...(keyLengthBits === undefined ? [] : [tv(phase1Attributes['key length'], keyLengthBits)]),
    tv(phase1Attributes.hash, hash(method.hash).ikeId),
    tv(phase1Attributes.group, group(method.group).id),
    tv(phase1Attributes.authentication, authentication.id),
  ];
}

function saPayload(proposals: readonly Proposal[]): SaPayload {
  return { kind: 'sa', doi: dois.IPSEC, situation: situations['IDENTITY-ONLY'], proposals };
}
