/**
 * What happens to a packet under a set of filters, and why: which policy, rule and filter decide, what the filters
 * that would have been looked at earlier lacked. Pure; the answer is data.
 */
import type { DriverFilter } from '../driver/api.js';
import { addressFamily, type IpAddress } from '../wire/ip/address.js';
import { printRange, printSelector } from '../wire/ip/selector.js';
import { describeFilter, describeRule } from './describe.js';
import { cannotBeNegotiated, type ExemptionContext, exemptionOf, isOfOneLink } from './exemptions.js';
import { type ExpandContext, type ExpandedFilter, expandPolicies } from './expand.js';
import { FilterIndex, field, type PacketWords, packetWords } from './filter-index.js';
import type { AuthenticationMethod, FilterAction, Policy, Rule } from './model.js';
import type { Packet } from './packet.js';
import { printSecurityMethod } from './proposals.js';
import { protocolName } from './protocols.js';

/** A specific filter and what is known of where it came from. */
export interface FilterInForce {
  readonly filter: DriverFilter;
  /** Larger is looked at earlier. */
  readonly weight: number;
  readonly policyName: string;
  readonly ruleName?: string;
  /** The filter as written, as a filter spec. */
  readonly written?: string;
  readonly action: FilterAction;
  /** `preshared`, `kerberos` or `certificate: CA`. */
  readonly authentication: readonly string[];
}

/** A filter that a policy has, but that is not in force. */
export interface IdleFilter extends FilterInForce {
  readonly why: string;
}

export type Outcome =
  | { readonly kind: 'exempt'; readonly what: string }
  | { readonly kind: 'unfiltered' }
  | { readonly kind: 'permit' }
  | { readonly kind: 'block' }
  | SecureOutcome;

export interface SecureOutcome {
  readonly kind: 'secure';
  /** In order of preference, `esp 3des-sha1`. */
  readonly methods: readonly string[];
  readonly authentication: readonly string[];
  readonly mode: 'transport' | 'tunnel';
  /** The gateway towards which the packets travel. */
  readonly tunnelEndpoint?: IpAddress;
  /** What becomes of this packet when it comes, or would go out, in clear. */
  readonly clear: 'negotiates' | 'dropped' | 'accepted';
  /** Whether policy allows clear text towards a peer that does not answer. */
  readonly allowFallback: boolean;
}

/** A filter as part of an answer. */
export interface NamedFilter {
  readonly policy: string;
  readonly rule: string;
  /** Specific: `192.0.2.1 -> any proto 6 ports 0/80`. */
  readonly filter: string;
  readonly written?: string;
  readonly direction: 'inbound' | 'outbound';
  readonly weight: number;
  readonly action: FilterAction['kind'];
}

/** A filter that did not decide, and why. */
export interface NearMiss extends NamedFilter {
  readonly lacked: readonly string[];
}

export interface Explanation {
  readonly packet: Packet;
  readonly outcome: Outcome;
  /** Absent for exempt and unfiltered packets. */
  readonly decidedBy?: NamedFilter;
  /** Filters that would have been looked at before, nearest first: those that differ in one or two respects. */
  readonly nearer: readonly NearMiss[];
  /** How many more of those there are. */
  readonly nearerLeftOut: number;
}

/** Nearer candidates an explanation lists. */
const shownCandidates = 5;
/** A filter that differs in more respects is about something else. */
const nearRespects = 2;

/** Answers questions about packets under one set of filters. */
export class Explainer {
  readonly #isDialup: (packet: Packet) => boolean;
  readonly #filters: readonly FilterInForce[];
  readonly #idle: readonly IdleFilter[];
  readonly #index: FilterIndex;
  readonly #idleIndex: FilterIndex;
  readonly #context: ExemptionContext;

  /**
   * `filters` in matching order; `idle` ones are only pointed out. Packets of `dialupAddresses` use dial-up adapters, all
   * others LAN adapters.
   */
  constructor(
    filters: readonly FilterInForce[],
    context: ExemptionContext & { readonly dialupAddresses?: readonly IpAddress[] },
    idle: readonly IdleFilter[] = [],
  ) {
    const dialup = new Set(context.dialupAddresses);
    this.#isDialup = ({ direction, source, destination }) =>
      dialup.has(direction === 'outbound' ? source : destination);
    this.#filters = filters;
    this.#idle = idle;
    this.#context = context;
    this.#index = new FilterIndex(filters.map(({ filter }) => filter));
    this.#idleIndex = new FilterIndex(idle.map(({ filter }) => filter));
  }

  /** What happens to a packet, without the candidates: its cost hardly grows with the number of filters. */
  decide(packet: Packet): Pick<Explanation, 'packet' | 'outcome' | 'decidedBy'> {
    const exemption = exemptionOf(packet, this.#context);
    if (exemption) return { packet, outcome: { kind: 'exempt', what: exemption.what } };
    const place = this.#placeOf(packet, packetWords(packet));
    const decider = place === undefined ? undefined : this.#filters[place];
    if (decider === undefined) return { packet, outcome: { kind: 'unfiltered' } };
    return { packet, outcome: outcomeOf(decider), decidedBy: namedFilter(decider) };
  }

  /** What happens to a packet, and what the nearer candidates lacked. Looks at every filter. */
  explain(packet: Packet): Explanation {
    const decision = this.decide(packet);
    if (decision.outcome.kind === 'exempt') return { ...decision, nearer: [], nearerLeftOut: 0 };
    const words = packetWords(packet);
    const place = this.#placeOf(packet, words) ?? this.#filters.length;
    const candidates = [
      ...this.#nearCandidates(words, place),
      ...this.#idleCandidates(words, this.#filters[place]?.weight ?? -1),
    ];
    // Sorting is stable: of equally near ones, the more specific stay first.
    candidates.sort((a, b) => a.respects - b.respects);
    const nearer = candidates
      .slice(0, shownCandidates)
      .map(({ of, lacked }) => ({ ...namedFilter(of), lacked: lacked(packet) }));
    return { ...decision, nearer, nearerLeftOut: candidates.length - nearer.length };
  }

  #placeOf(packet: Packet, words: PacketWords): number | undefined {
    return this.#index.match(words, place => {
      const filter = this.#filters[place]?.filter;
      return filter !== undefined && this.#passedOver(packet, filter) !== undefined;
    });
  }

  /** Why a filter whose selector matches is left out all the same. */
  #passedOver(packet: Packet, filter: DriverFilter): string | undefined {
    const { connectionType } = filter;
    if (connectionType !== undefined && (connectionType === 'dialup') !== this.#isDialup(packet))
      return `the rule is for ${adapterWords[connectionType]} only`;
    const negotiates =
      filter.action === 'secure' && !(filter.direction === 'inbound' && filter.acceptUnsecured);
    return negotiates && !isOfOneLink(filter.selector)
      ? cannotBeNegotiated(packet, this.#context)
      : undefined;
  }

  #nearCandidates(words: PacketWords, before: number): Candidate[] {
    const wayBack = mirrored(words);
    const candidates: Candidate[] = [];
    for (let place = 0; place < before; place++) {
      const of = this.#filters[place];
      if (of === undefined) continue;
      const bits = this.#index.differences(place, words);
      if (bits === 0)
        candidates.push({
          of,
          respects: 0,
          lacked: packet => [this.#passedOver(packet, of.filter) ?? 'it is left out'],
        });
      else if (this.#index.differences(place, wayBack) === 0)
        candidates.push({
          of,
          respects: 1,
          lacked: () => ['it is for the way back only: the filter is not mirrored'],
        });
      else if (countBits(bits) <= nearRespects)
        candidates.push({
          of,
          respects: countBits(bits),
          lacked: packet => differenceTexts(packet, of.filter, bits),
        });
    }
    return candidates;
  }

  #idleCandidates(words: PacketWords, aboveWeight: number): Candidate[] {
    return this.#idle.flatMap((of, place) =>
      of.weight >= aboveWeight && this.#idleIndex.differences(place, words) === 0
        ? [{ of, respects: 0, lacked: () => [of.why] }]
        : [],
    );
  }
}

interface Candidate {
  readonly of: FilterInForce;
  readonly respects: number;
  /** Texts are made for the few that are shown. */
  lacked(packet: Packet): readonly string[];
}

/** The filters of one policy on a computer, in force and not. */
export function filtersOfPolicy(
  policy: Policy,
  context: ExpandContext,
): { readonly inForce: readonly FilterInForce[]; readonly idle: readonly IdleFilter[] } {
  const { filters } = expandPolicies([{ policy }], context);
  const places = new Map(policy.rules.map((rule, place) => [rule.id, place]));
  const named = (expanded: ExpandedFilter<{ readonly policy: Policy }>) =>
    filterInForce(expanded, places.get(expanded.rule.id) ?? 0);
  const inactive = expandPolicies([{ policy: onlyRules(policy, rule => !rule.active) }], context);
  const elsewhere = expandPolicies(
    [{ policy: onlyRules(policy, rule => rule.active && rule.connectionType !== 'all') }],
    context,
  );
  const known = new Set(filters.map(({ filter }) => filter.id));
  return {
    inForce: filters.map(named),
    idle: [
      ...inactive.filters.map(each => ({ ...named(each), why: 'the rule is not active' })),
      ...elsewhere.filters
        .filter(({ filter }) => !known.has(filter.id))
        .map(each => ({ ...named(each), why: `the rule is for ${adapters(policy, each.rule)} only` })),
    ],
  };
}

/** An expanded filter as one in force; `place` is its rule's in the policy. */
export function filterInForce(
  { filter, weight, rule, origin, source }: ExpandedFilter<{ readonly policy: Policy }>,
  place: number,
): FilterInForce {
  return {
    filter,
    weight,
    policyName: source.policy.name,
    ruleName: rule.name ?? describeRule(rule, place),
    written: describeFilter(origin),
    action: rule.action,
    authentication: rule.authentication.map(authenticationText),
  };
}

/** `preshared`, `kerberos` or `certificate: CA`; never the key. */
export function authenticationText(method: AuthenticationMethod): string {
  return method.kind === 'certificate' ? `certificate: ${method.authority}` : method.kind;
}

function onlyRules(policy: Policy, wanted: (rule: Rule) => boolean): Policy {
  const rules = policy.rules
    .filter(wanted)
    .map((rule): Rule => ({ ...rule, active: true, connectionType: 'all' }));
  return { ...policy, rules };
}

const adapterWords = { lan: 'LAN adapters', dialup: 'dial-up adapters' } as const;

function adapters(policy: Policy, { id }: Rule): string {
  const written = policy.rules.find(rule => rule.id === id)?.connectionType;
  return adapterWords[written === 'dialup' ? 'dialup' : 'lan'];
}

function outcomeOf({ filter, action, authentication }: FilterInForce): Outcome {
  if (filter.action !== 'secure') return { kind: filter.action };
  return {
    kind: 'secure',
    methods: action.kind === 'negotiate' ? action.methods.map(printSecurityMethod) : [],
    authentication,
    mode: filter.tunnelEndpoint === undefined ? 'transport' : 'tunnel',
    ...(filter.tunnelEndpoint === undefined ? {} : { tunnelEndpoint: filter.tunnelEndpoint }),
    clear: filter.direction === 'outbound' ? 'negotiates' : filter.acceptUnsecured ? 'accepted' : 'dropped',
    allowFallback: filter.allowFallback,
  };
}

function namedFilter({ filter, policyName, ruleName, written, weight, action }: FilterInForce): NamedFilter {
  return {
    policy: policyName,
    rule: ruleName ?? '(no name)',
    filter: printSelector(filter.selector),
    ...(written === undefined ? {} : { written }),
    direction: filter.direction,
    weight,
    action: action.kind,
  };
}

function mirrored(packet: PacketWords): PacketWords {
  return {
    direction: packet.direction === 'inbound' ? 'outbound' : 'inbound',
    source: packet.destination,
    destination: packet.source,
    protocol: packet.protocol,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
  };
}

/** What a packet would need for a filter to match it, one text for each `field` bit. */
function differenceTexts(packet: Packet, { selector, direction }: DriverFilter, bits: number): string[] {
  const family = addressFamily(selector.source.first);
  const otherFamily = family !== addressFamily(packet.source);
  const addresses: [number, string][] = [
    [field.source, `source ${packet.source} is not in ${printRange(selector.source)}`],
    [field.destination, `destination ${packet.destination} is not in ${printRange(selector.destination)}`],
  ];
  const texts: [number, string][] = [
    [field.direction, `it is for ${direction} packets`],
    ...(otherFamily
      ? [[field.source | field.destination, `it is for IPv${family} packets`] satisfies [number, string]]
      : addresses),
    [field.protocol, `protocol ${protocolName(packet.protocol)} is not ${protocolName(selector.protocol)}`],
    [field.sourcePort, `source port ${packet.sourcePort} is not ${selector.sourcePort}`],
    [field.destinationPort, `destination port ${packet.destinationPort} is not ${selector.destinationPort}`],
  ];
  return texts.flatMap(([bit, text]) => ((bits & bit) === 0 ? [] : [text]));
}

function countBits(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
