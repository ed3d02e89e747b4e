/**
 * Phase-2 proposals: building ours, choosing from the peer's, checking its answer (RFC 2407 4.4 and 4.5,
 * ike.md 12). Proposals with the same number belong together: AH and ESP in one offer. Every refusal is data.
 */
import { encryption, type GroupId, group, groupIds, type HashId, hash } from '../crypto/algorithms.js';
import type { Spi } from '../driver/api.js';
import type { SecurityMethod } from '../policy/model.js';
import { type DataAttribute, tv } from '../wire/isakmp/attributes.js';
import {
  dois,
  lifeTypes,
  nameOf,
  phase2Attributes,
  phase2Values,
  protocols,
  situations,
  transformIds,
} from '../wire/isakmp/numbers.js';
import type { Proposal, SaPayload, Transform } from '../wire/isakmp/payloads.js';
import type { AttributeMismatch } from './api.js';
import { limitsOf } from './lifetimes.js';
import type { OwnSpis } from './quick-mode.js';
import { spiBytes, spiOf } from './spi.js';
import {
  closest,
  type Difference,
  lifeAttributePair,
  type ReadAttributes,
  readTransform,
} from './transform-attributes.js';

/** The one value of the ESN attribute (RFC 4304). */
const extendedSequenceNumbers = 1;

/** What our side wants: to offer as initiator, or to accept as responder. */
export interface QuickModeOffer {
  readonly methods: readonly SecurityMethod[];
  /** Value of the encapsulation attribute. */
  readonly encapsulation: number;
  /** The group of session-key PFS where a method names none: that of the main mode. */
  readonly mainModeGroup: GroupId;
}

export interface QuickModeChoice {
  readonly method: SecurityMethod;
  readonly pfsGroup?: GroupId;
  /** The peer's SPI for each protocol of the method. */
  readonly peerSpis: { readonly esp?: Spi; readonly ah?: Spi };
  readonly lifetimeSeconds?: number;
  readonly lifetimeKilobytes?: number;
  /** The chosen proposals, each with its one transform. */
  readonly proposals: readonly Proposal[];
}

export type QuickModeVerdict =
  | { readonly chosen: QuickModeChoice }
  | { readonly refused: readonly AttributeMismatch[] };

/** The PFS group a method asks for; `undefined` without PFS. */
export function pfsGroupOf(method: SecurityMethod, mainModeGroup: GroupId): GroupId | undefined {
  return method.pfs === undefined ? undefined : (method.pfs.group ?? mainModeGroup);
}

/** The offers one quick mode can carry: those with the PFS group of the first, since there is one KE payload. */
export function offerableTogether(
  methods: readonly SecurityMethod[],
  mainModeGroup: GroupId,
): readonly SecurityMethod[] {
  const [first] = methods;
  if (first === undefined) return [];
  const wanted = pfsGroupOf(first, mainModeGroup);
  return methods.filter(method => pfsGroupOf(method, mainModeGroup) === wanted);
}

/** Our SA payload: one proposal number a method, AH before ESP within one. */
export function quickModeSa(offer: QuickModeOffer, spis: OwnSpis, windowsForm: boolean): SaPayload {
  const proposals = offer.methods.flatMap((method, index) => {
    const common = commonAttributes(method, offer, windowsForm);
    const proposal = (protocol: number, spi: Spi, transformId: number, own: DataAttribute[]): Proposal => ({
      number: index + 1,
      protocol,
      spi: spiBytes(spi),
      transforms: [{ number: 1, transformId, attributes: [...own, ...common] }],
    });
    const list: Proposal[] = [];
    if (method.ah)
      list.push(
        proposal(protocols.AH, spis.ah, hash(method.ah.hash).ahId, integrityAttributes(method.ah.hash)),
      );
    if (method.esp)
      list.push(proposal(protocols.ESP, spis.esp, espTransform(method.esp), espAttributes(method.esp)));
    return list;
  });
  return { kind: 'sa', doi: dois.IPSEC, situation: situations['IDENTITY-ONLY'], proposals };
}

/**
 * Chooses as responder: the first of our methods that the peer offers. `keyExchange` says whether the peer sent
 * a KE payload. A method of ours without PFS accepts an offer with it.
 */
export function chooseQuickMode(sa: SaPayload, own: QuickModeOffer, keyExchange: boolean): QuickModeVerdict {
  const bundles = bundlesOf(sa);
  for (const method of own.methods)
    for (const bundle of bundles) {
      const match = matchBundle(bundle, method, own, keyExchange);
      if ('chosen' in match) return match;
    }
  const refused = bundles.flatMap(alternativesOf).flatMap(bundle => {
    const comparisons = own.methods.map(method => matchBundle(bundle, method, own, keyExchange));
    return closest(comparisons.map(match => ('differences' in match ? match.differences : []))).map(
      difference => ({ proposal: bundle.number, transform: bundle.transform, ...difference }),
    );
  });
  return { refused };
}

/**
 * Checks as initiator that the peer chose one of our offers. Its number may differ: some peers renumber.
 */
export function acceptQuickMode(sa: SaPayload, own: QuickModeOffer, keyExchange: boolean): QuickModeVerdict {
  const bundles = bundlesOf(sa);
  const [only] = bundles;
  const transforms = only?.proposals.every(proposal => proposal.transforms.length === 1);
  if (only === undefined || bundles.length > 1 || transforms !== true)
    return {
      refused: [
        {
          proposal: only?.number ?? 0,
          transform: 0,
          attribute: 'number of proposals and transforms',
          wanted: '1',
          offered: bundles.length > 1 ? String(bundles.length) : 'several transforms',
        },
      ],
    };
  return chooseQuickMode(sa, own, keyExchange);
}

/** The lifetimes of the chosen transforms. */
export function offeredLimits({ lifetimeSeconds, lifetimeKilobytes }: QuickModeChoice): {
  readonly seconds: number | undefined;
  readonly kilobytes: number | undefined;
} {
  return { seconds: lifetimeSeconds, kilobytes: lifetimeKilobytes };
}

/** Our answer: the chosen proposals with our SPIs and their attributes unchanged. */
export function answerQuickMode(choice: QuickModeChoice, spis: OwnSpis): SaPayload {
  const proposals = choice.proposals.map(proposal => ({
    ...proposal,
    spi: spiBytes(proposal.protocol === protocols.AH ? spis.ah : spis.esp),
  }));
  return { kind: 'sa', doi: dois.IPSEC, situation: situations['IDENTITY-ONLY'], proposals };
}

/** Proposals with one number: chosen or refused as a whole. */
interface Bundle {
  readonly number: number;
  readonly proposals: readonly Proposal[];
  /** Number of its only transform; 0 when there are more. */
  readonly transform: number;
}

function bundlesOf(sa: SaPayload): Bundle[] {
  const bundles: { number: number; proposals: Proposal[]; transform: number }[] = [];
  for (const proposal of sa.proposals) {
    const last = bundles.at(-1);
    if (last?.number === proposal.number) last.proposals.push(proposal);
    else
      bundles.push({
        number: proposal.number,
        proposals: [proposal],
        transform: proposal.transforms.length === 1 ? (proposal.transforms[0]?.number ?? 0) : 0,
      });
  }
  return bundles;
}

/** The transforms of a single proposal are alternatives; those of a bundle only count together. */
function alternativesOf(bundle: Bundle): Bundle[] {
  const [proposal, second] = bundle.proposals;
  if (proposal === undefined || second !== undefined) return [bundle];
  return proposal.transforms.map(transform => ({
    number: bundle.number,
    proposals: [{ ...proposal, transforms: [transform] }],
    transform: transform.number,
  }));
}

type Match = { readonly chosen: QuickModeChoice } | { readonly differences: readonly Difference[] };

function matchBundle(
  bundle: Bundle,
  method: SecurityMethod,
  own: QuickModeOffer,
  keyExchange: boolean,
): Match {
  const offered = bundle.proposals.map(proposal => protocolName(proposal.protocol)).sort();
  const wanted = [...(method.ah ? ['AH'] : []), ...(method.esp ? ['ESP'] : [])];
  if (offered.join('+') !== wanted.join('+'))
    return {
      differences: [
        { attribute: 'protocols', wanted: wanted.join('+'), offered: offered.join('+') },
        // Counts as further away than any difference within a protocol.
        ...wantedAlgorithms(method),
      ],
    };
  const chosen: { proposal: Proposal; transform: Transform; read: ReadAttributes }[] = [];
  const found: Difference[] = [];
  for (const proposal of bundle.proposals) {
    const comparisons = proposal.transforms.map(transform => {
      const read = readTransform(2, transform.attributes);
      const differences = transformDifferences(proposal.protocol, transform, read, method, own, keyExchange);
      return { transform, read, differences };
    });
    const match = comparisons.find(({ differences }) => differences.length === 0);
    if (match) chosen.push({ proposal, ...match });
    else found.push(...closest(comparisons.map(({ differences }) => differences)));
    if (spiOf(proposal.spi) === undefined)
      found.push({
        attribute: 'SPI',
        wanted: '4 bytes, 256 or more',
        offered: Buffer.from(proposal.spi).toString('hex'),
      });
  }
  const [first, second] = chosen;
  if (found.length > 0 || first === undefined) return { differences: found };
  if (second !== undefined && pfsOffered(first.read) !== pfsOffered(second.read))
    return {
      differences: [{ attribute: 'PFS group', wanted: 'the same in AH and ESP', offered: 'different ones' }],
    };
  return { chosen: choiceOf(method, chosen) };
}

function choiceOf(
  method: SecurityMethod,
  chosen: readonly {
    readonly proposal: Proposal;
    readonly transform: Transform;
    readonly read: ReadAttributes;
  }[],
): QuickModeChoice {
  const reads = chosen.map(({ read }) => read);
  const pfs = groupIds.find(id => group(id).id === reads[0]?.values.get(phase2Attributes.group));
  const smallest = (values: (number | undefined)[]) => {
    const known = values.filter(value => value !== undefined && value > 0);
    return known.length === 0 ? undefined : Math.min(...known.map(Number));
  };
  const seconds = smallest(reads.map(read => read.lifetimeSeconds));
  const kilobytes = smallest(reads.map(read => read.lifetimeKilobytes));
  const spiFor = (protocol: number) => {
    const found = chosen.find(({ proposal }) => proposal.protocol === protocol);
    return found === undefined ? undefined : spiOf(found.proposal.spi);
  };
  const [esp, ah] = [spiFor(protocols.ESP), spiFor(protocols.AH)];
  return {
    method,
    peerSpis: { ...(esp === undefined ? {} : { esp }), ...(ah === undefined ? {} : { ah }) },
    proposals: chosen.map(({ proposal, transform }) => ({ ...proposal, transforms: [transform] })),
    ...(pfs === undefined ? {} : { pfsGroup: pfs }),
    ...(seconds === undefined ? {} : { lifetimeSeconds: seconds }),
    ...(kilobytes === undefined ? {} : { lifetimeKilobytes: kilobytes }),
  };
}

function pfsOffered(read: ReadAttributes): number | undefined {
  return read.values.get(phase2Attributes.group);
}

function transformDifferences(
  protocol: number,
  transform: Transform,
  read: ReadAttributes,
  method: SecurityMethod,
  own: QuickModeOffer,
  keyExchange: boolean,
): Difference[] {
  const found: Difference[] = [];
  const compare = (attribute: string, wanted: string, offered: string) => {
    if (wanted !== offered) found.push({ attribute, wanted, offered });
  };
  if (read.malformed !== undefined) compare('transform', 'well-formed', read.malformed);
  const integrity = (id: HashId | undefined) => valueName('authentication', id && hash(id).authId);
  const offeredIntegrity = valueName('authentication', read.values.get(phase2Attributes.authentication));
  if (protocol === protocols.AH && method.ah) {
    compare(
      'AH transform',
      transformName(protocol, hash(method.ah.hash).ahId),
      transformName(protocol, transform.transformId),
    );
    compare('authentication', integrity(method.ah.hash), offeredIntegrity);
  } else if (protocol === protocols.ESP && method.esp) {
    const cipher = encryption(method.esp.encryption);
    const name = (id: number, bits: number | undefined) =>
      bits === undefined ? transformName(protocol, id) : `${transformName(protocol, id)}-${bits}`;
    compare(
      'encryption',
      name(espTransform(method.esp), cipher.keyLengthBits),
      name(transform.transformId, read.values.get(phase2Attributes['key length'])),
    );
    compare('authentication', integrity(method.esp.hash), offeredIntegrity);
  }
  compare(
    'encapsulation',
    valueName('encapsulation', own.encapsulation),
    valueName('encapsulation', read.values.get(phase2Attributes.encapsulation)),
  );
  compare(
    'ESN',
    sequenceName(method.extendedSequence ? extendedSequenceNumbers : undefined),
    sequenceName(read.values.get(phase2Attributes.ESN)),
  );
  comparePfs(found, read, method, own, keyExchange);
  return found;
}

function comparePfs(
  found: Difference[],
  read: ReadAttributes,
  method: SecurityMethod,
  own: QuickModeOffer,
  keyExchange: boolean,
): void {
  const wanted = pfsGroupOf(method, own.mainModeGroup);
  const offered = pfsOffered(read);
  const name = (id: number | undefined) => valueName('group', id);
  if (wanted !== undefined && wanted !== offered)
    found.push({ attribute: 'PFS group', wanted: name(wanted), offered: name(offered) });
  else if (offered !== undefined && !groupIds.some(id => id === offered))
    found.push({ attribute: 'PFS group', wanted: 'a group we can compute', offered: name(offered) });
  else if ((offered !== undefined) !== keyExchange)
    found.push({
      attribute: 'PFS group',
      wanted: keyExchange ? 'the group of the KE payload' : 'a KE payload',
      offered: name(offered),
    });
}

/** Fills up a comparison that failed on its protocols, so that nearer misses are shown instead. */
function wantedAlgorithms(method: SecurityMethod): Difference[] {
  return [
    ...(method.ah ? [{ attribute: 'AH', wanted: hash(method.ah.hash).name, offered: 'none' }] : []),
    ...(method.esp
      ? [{ attribute: 'ESP', wanted: encryption(method.esp.encryption).name, offered: 'none' }]
      : []),
  ];
}

function commonAttributes(
  method: SecurityMethod,
  offer: QuickModeOffer,
  windowsForm: boolean,
): DataAttribute[] {
  const pfs = pfsGroupOf(method, offer.mainModeGroup);
  const { seconds, kilobytes } = limitsOf(method);
  return [
    ...(pfs === undefined ? [] : [tv(phase2Attributes.group, group(pfs).id)]),
    tv(phase2Attributes.encapsulation, offer.encapsulation),
    ...(method.extendedSequence ? [tv(phase2Attributes.ESN, extendedSequenceNumbers)] : []),
    ...lifeAttributePair(2, lifeTypes.seconds, seconds, windowsForm),
    ...lifeAttributePair(2, lifeTypes.kilobytes, kilobytes, windowsForm),
  ];
}

function espAttributes(esp: NonNullable<SecurityMethod['esp']>): DataAttribute[] {
  const { keyLengthBits } = encryption(esp.encryption);
  return [
    ...(keyLengthBits === undefined ? [] : [tv(phase2Attributes['key length'], keyLengthBits)]),
    ...(esp.hash === undefined ? [] : integrityAttributes(esp.hash)),
  ];
}

function integrityAttributes(id: HashId): DataAttribute[] {
  return [tv(phase2Attributes.authentication, hash(id).authId)];
}

function espTransform(esp: NonNullable<SecurityMethod['esp']>): number {
  const { espId } = encryption(esp.encryption);
  if (espId === undefined) throw new TypeError(`${esp.encryption} has no ESP number`);
  return espId;
}

/** Sequence numbers of 32 bits are asked for by saying nothing (RFC 4304). */
function sequenceName(value: number | undefined): string {
  return value === undefined ? 'absent' : valueName('ESN', value);
}

function protocolName(protocol: number): string {
  return nameOf(protocols, protocol);
}

function transformName(protocol: number, id: number): string {
  return nameOf(transformIds[protocol] ?? {}, id);
}

function valueName(attribute: keyof typeof phase2Attributes, value: number | undefined): string {
  return value === undefined ? 'none' : nameOf(phase2Values[phase2Attributes[attribute]] ?? {}, value);
}
