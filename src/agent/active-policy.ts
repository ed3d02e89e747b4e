import { createHmac, randomBytes } from 'node:crypto';
import type { AssignedAddress, DriverFilter, FilterId } from '../driver/api.js';
import type { Identity, IkePolicy, MainModePolicy, QuickModePolicy, QuickModeRequest } from '../ike/api.js';
import type { ExpandedFilter } from '../policy/expand.js';
import { type AuthenticationMethod, type Policy, policyDefaults, type Rule } from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';
import {
  hostRange,
  mirrorSelector,
  printSelector,
  rangeContains,
  type Selector,
  selectorCovers,
  selectorsEqual,
} from '../wire/ip/selector.js';

/** A policy in force and where it came from. Several are: the assigned one, dynamic rules, ad-hoc tunnels. */
export interface PolicySource {
  readonly origin: 'assigned' | 'dynamic' | 'tunnel';
  readonly policy: Policy;
  /** What an ad-hoc tunnel asks of IKE beyond a policy's vocabulary. */
  readonly ike?: TunnelIkeSettings;
  /** The addresses a gateway gave this host for it; absent while it has given none. */
  readonly assigned?: readonly AssignedAddress[];
}

export interface TunnelIkeSettings {
  readonly identity?: Identity;
  readonly peerIdentity?: Identity;
  readonly natTraversal?: MainModePolicy['natTraversal'];
  readonly xauth?: MainModePolicy['xauth'];
  /** While the gateway has assigned no address, nothing but its main mode is negotiated. */
  readonly modeConfig?: MainModePolicy['modeConfig'];
  /** Its own, instead of the machine's. */
  readonly credentials?: MainModePolicy['credentials'];
}

/** A specific filter with the rule and the source it came from. */
export type ActiveFilter = ExpandedFilter<PolicySource>;

/** Dead peers are noticed after 30 s without traffic and five unanswered probes (`ike.md` 8.5). */
const deadPeerDetection = { idleSeconds: 30, retrySeconds: 10, retries: 5 } as const;

/** Of this process alone, so that a fingerprint does not help to guess a preshared key. */
const fingerprintKey = randomBytes(32);

/** One immutable view of everything in force: what the driver enforces, and IKE's answers derived from it. */
export class ActivePolicy implements IkePolicy {
  /** In matching order. */
  readonly filters: readonly ActiveFilter[];
  readonly sources: readonly PolicySource[];
  readonly #byId: ReadonlyMap<FilterId, ActiveFilter>;
  /** In matching order, those of our own outbound traffic first: it is under them that the driver looks for a pair. */
  readonly #outboundFirst: readonly ActiveFilter[];
  /** Of these, the ones that ask for protection. */
  readonly #securing: readonly ActiveFilter[];
  readonly #fingerprints = new Map<Rule, string>();

  constructor(sources: readonly PolicySource[], filters: readonly ActiveFilter[]) {
    this.sources = sources;
    this.filters = filters;
    this.#byId = new Map(filters.map(active => [active.filter.id, active]));
    this.#outboundFirst = [
      ...filters.filter(({ filter }) => filter.direction === 'outbound'),
      ...filters.filter(({ filter }) => filter.direction === 'inbound'),
    ];
    this.#securing = this.#outboundFirst.filter(({ filter }) => filter.action === 'secure');
  }

  find(filterId: FilterId): ActiveFilter | undefined {
    return this.#byId.get(filterId);
  }

  mainModes(local: IpAddress, peer: IpAddress): readonly MainModePolicy[] {
    const byFingerprint = new Map<string, MainModePolicy>();
    for (const way of this.#waysWith(local, peer)) {
      const fingerprint = this.#fingerprint(way.source, way.rule);
      if (!byFingerprint.has(fingerprint)) byFingerprint.set(fingerprint, this.#mainModePolicy(way));
    }
    return [...byFingerprint.values()];
  }

  mainModeOf(filterId: FilterId | undefined): MainModePolicy | undefined {
    const way = filterId === undefined ? this.#defaultResponse() : this.#byId.get(filterId);
    return way && this.#mainModePolicy(way);
  }

  /** The rules under which main mode with a peer may be negotiated, in matching order. */
  *#waysWith(local: IpAddress, peer: IpAddress): Iterable<{ source: PolicySource; rule: Rule }> {
    for (const active of this.#securing) if (peersMatch(active.filter, local, peer)) yield active;
    const fallback = this.#defaultResponse();
    if (fallback) yield fallback;
  }

  #mainModePolicy({ source, rule }: { source: PolicySource; rule: Rule }): MainModePolicy {
    return { ...mainModePolicy(source, rule), fingerprint: this.#fingerprint(source, rule) };
  }

  /** Whether main mode between these hosts may be negotiated as under `earlier`, a policy that has been returned before. */
  allowsMainMode(local: IpAddress, peer: IpAddress, earlier: MainModePolicy): boolean {
    for (const { source, rule } of this.#waysWith(local, peer))
      if (this.#fingerprint(source, rule) === earlier.fingerprint) return true;
    return false;
  }

  #fingerprint(source: PolicySource, rule: Rule): string {
    const known = this.#fingerprints.get(rule);
    if (known !== undefined) return known;
    const fingerprint = createHmac('sha256', fingerprintKey)
      .update(mainModeMeaning(source, rule))
      .digest('hex');
    this.#fingerprints.set(rule, fingerprint);
    return fingerprint;
  }

  /** What a pair made under the default response rule was negotiated under, as comparable text. */
  get defaultResponseMeaning(): string | undefined {
    const response = this.#defaultResponse();
    return (
      response && JSON.stringify([response.rule.action, mainModeMeaning(response.source, response.rule)])
    );
  }

  quickMode(request: QuickModeRequest): QuickModePolicy | { readonly refused: string } {
    const asked = `${request.mode} mode for ${printSelector(request.selector)}`;
    const nearest: string[] = [];
    for (const { filter, rule, source } of this.#outboundFirst) {
      if (!selectorCovers(outboundView(filter), request.selector)) continue;
      if (rule.action.kind !== 'negotiate')
        return { refused: `asked ${asked}; a ${rule.action.kind} filter covers it` };
      const mismatch = tunnelMismatch(filter, request);
      if (mismatch === undefined)
        return {
          filterId: filter.id,
          methods: rule.action.methods,
          mode: request.mode,
          selector: request.selector,
          ...lasting(source),
        };
      nearest.push(`the filter ${printSelector(filter.selector)} ${mismatch}`);
    }
    const fallback = this.#defaultResponse();
    if (fallback?.rule.action.kind === 'negotiate' && request.mode === 'transport')
      return { methods: fallback.rule.action.methods, mode: 'transport', selector: request.selector };
    const because = nearest.length > 0 ? nearest.join('; ') : this.#securedWith(request);
    return { refused: `asked ${asked}; ${because}` };
  }

  /** For a peer that asks for traffic no filter covers: what it might have meant. */
  #securedWith({ local, peer }: QuickModeRequest): string {
    const own = this.#securing.filter(
      ({ filter }) => filter.direction === 'outbound' && peersMatch(filter, local, peer),
    );
    const shown = own.slice(0, 3).map(({ filter }) => {
      const mode = filter.tunnelEndpoint === undefined ? 'transport' : 'tunnel';
      return `${mode} mode for ${printSelector(filter.selector)}`;
    });
    if (own.length > shown.length) shown.push(`${own.length - shown.length} more`);
    return `no filter covers it${shown.length > 0 ? `; what is secured with this peer: ${shown.join(', ')}` : ''}`;
  }

  /**
   * What to negotiate when a packet met an outbound `secure` filter. A transport filter is narrowed to the two
   * hosts at hand (one pair of SAs a peer); a tunnel filter is negotiated as it stands, from its own end.
   */
  acquire(
    filterId: FilterId,
    local: IpAddress,
    peer: IpAddress,
  ): { local: IpAddress; peer: IpAddress; quickMode: QuickModePolicy } | undefined {
    const active = this.#byId.get(filterId);
    if (active?.rule.action.kind !== 'negotiate') return undefined;
    const { filter, source } = active;
    if (source.ike?.modeConfig !== undefined && source.assigned === undefined) return undefined;
    const { methods } = active.rule.action;
    if (filter.tunnelEndpoint === undefined) {
      const selector: Selector = {
        ...filter.selector,
        source: hostRange(local),
        destination: hostRange(peer),
      };
      return {
        local,
        peer,
        quickMode: { filterId, methods, mode: 'transport', selector, ...lasting(source) },
      };
    }
    return {
      local: this.#ownTunnelEnd(filter) ?? local,
      peer: filter.tunnelEndpoint,
      quickMode: { filterId, methods, mode: 'tunnel', selector: filter.selector, ...lasting(source) },
    };
  }

  /** How long a soft SA of this filter lasts without traffic; `undefined` where falling back to clear is not allowed. */
  softIdleSeconds(filterId: FilterId): number | undefined {
    const active = this.#byId.get(filterId);
    if (!active?.filter.allowFallback || active.filter.tunnelEndpoint !== undefined) return undefined;
    return active.source.policy.keyExchange.softSaSeconds ?? policyDefaults.softSaSeconds;
  }

  /** The end the partner rule names: the inbound tunnel filter for the same traffic the other way. */
  #ownTunnelEnd(outbound: DriverFilter): IpAddress | undefined {
    const mirrored = mirrorSelector(outbound.selector);
    return this.filters.find(
      ({ filter }) =>
        filter.direction === 'inbound' &&
        filter.tunnelEndpoint !== undefined &&
        selectorsEqual(filter.selector, mirrored),
    )?.filter.tunnelEndpoint;
  }

  /** The default response rule of the assigned policy, if it is active. */
  #defaultResponse(): { source: PolicySource; rule: Rule } | undefined {
    for (const source of this.sources) {
      const rule = source.policy.rules.find(
        candidate => candidate.active && candidate.filterList === undefined,
      );
      if (rule) return { source, rule };
    }
    return undefined;
  }
}

/** Somebody has asked for a tunnel by name: it is up until he takes it down. */
function lasting({ origin }: PolicySource): { readonly staysUp?: boolean } {
  return origin === 'tunnel' ? { staysUp: true } : {};
}

/** A filter's traffic with our side as the source, whichever direction the filter is for. */
function outboundView(filter: DriverFilter): Selector {
  return filter.direction === 'outbound' ? filter.selector : mirrorSelector(filter.selector);
}

function peersMatch(filter: DriverFilter, local: IpAddress, peer: IpAddress): boolean {
  if (filter.tunnelEndpoint !== undefined)
    return filter.direction === 'outbound' && filter.tunnelEndpoint === peer;
  const { source, destination } = outboundView(filter);
  return rangeContains(source, local) && rangeContains(destination, peer);
}

/** Why a filter that covers the traffic still is not the one asked for; `undefined` when it is. */
function tunnelMismatch(filter: DriverFilter, request: QuickModeRequest): string | undefined {
  if (filter.tunnelEndpoint === undefined)
    return request.mode === 'transport' ? undefined : 'wants transport mode';
  if (request.mode !== 'tunnel') return 'wants tunnel mode';
  const end = filter.direction === 'outbound' ? request.peer : request.local;
  return filter.tunnelEndpoint === end ? undefined : `belongs to the tunnel to ${filter.tunnelEndpoint}`;
}

function mainModePolicy(source: PolicySource, rule: Rule): MainModePolicy {
  const { methods, lifetimeSeconds, masterKeyPfs, quickModeLimit, aggressive, excludeCaNames } =
    source.policy.keyExchange;
  return {
    methods,
    authentication: excludeCaNames ? rule.authentication.map(withoutCaName) : rule.authentication,
    lifetimeSeconds,
    quickModeLimit: masterKeyPfs ? 1 : quickModeLimit,
    natTraversal: source.ike?.natTraversal ?? 'auto',
    deadPeerDetection,
    ...(aggressive ? { aggressive } : {}),
    ...(source.ike?.xauth === undefined ? {} : { xauth: source.ike.xauth }),
    ...(source.ike?.modeConfig === undefined ? {} : { modeConfig: source.ike.modeConfig }),
    ...(source.ike?.identity === undefined ? {} : { identity: source.ike.identity }),
    ...(source.ike?.credentials === undefined ? {} : { credentials: source.ike.credentials }),
    ...(source.ike?.peerIdentity === undefined ? {} : { peerIdentity: source.ike.peerIdentity }),
  };
}

/** What the policy says for all of its CAs. */
function withoutCaName(method: AuthenticationMethod): AuthenticationMethod {
  return method.kind === 'certificate' ? { ...method, excludeCaName: true } : method;
}

/** Everything about a rule that a main mode was negotiated under, as comparable text. */
export function mainModeMeaning({ policy, ike }: PolicySource, { authentication }: Rule): string {
  const methods = authentication.map(method =>
    method.kind === 'preshared' ? { kind: method.kind, key: method.key.reveal() } : method,
  );
  const { xauth, modeConfig, ...rest } = ike ?? {};
  const user = xauth && [xauth.user, xauth.password?.reveal()];
  // The addresses are what came of the negotiation.
  return JSON.stringify([methods, policy.keyExchange, rest, user, modeConfig?.kind]);
}

/** The sources of one origin. */
export function sourcesOf(
  sources: readonly PolicySource[],
  origin: PolicySource['origin'],
): readonly PolicySource[] {
  return sources.filter(source => source.origin === origin);
}
