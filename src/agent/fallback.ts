/**
 * Falling back to clear (`policy-semantics.md` 4.1): when a peer gives no sign of IKE at all, the traffic of a filter that
 * allows it passes unprotected, for as long as it flows. Whatever the peer says, however wrong, forbids it.
 */
import type { Driver, FilterId, SoftSa, Spi } from '../driver/api.js';
import type { AuditEvent, NegotiationStep } from '../ike/api.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Selector } from '../wire/ip/selector.js';
import type { Clock } from './clock.js';

/** How long after its first message a main mode must have stayed without any answer (KB 914841). */
const silenceMs = 3_000;
/** A peer that begins to speak IKE has this long to secure the traffic; then it stops passing in clear. */
const answeredGraceMs = 10_000;
/** How often it is looked whether traffic still flows. */
const idleCheckMs = 10_000;

/** A negotiation for traffic that may fall back. */
export interface FallbackRequest {
  /** The IKE request's. */
  readonly id: string;
  readonly filterId: FilterId;
  readonly local: IpAddress;
  readonly peer: IpAddress;
  /** The traffic, as seen outbound. */
  readonly selector: Selector;
  /** A soft SA ends after so long without traffic. */
  readonly idleSeconds: number;
}

/** A soft SA as shown. */
export interface SoftAssociationInfo extends SoftSa {
  readonly selector: Selector;
  readonly establishedAtMs: number;
  readonly lastUsedAtMs: number;
  readonly idleSeconds: number;
  readonly packetsSent: number;
  readonly packetsReceived: number;
}

interface SoftAssociation extends FallbackRequest {
  readonly establishedAtMs: number;
  lastUsedAtMs: number;
  packetsSent: number;
  packetsReceived: number;
  /** When it ends at the latest. */
  endsAtMs: number;
  /** Why, should that time come. */
  endReason: string;
  /** Settles when the driver has it. */
  readonly inForce: Promise<void>;
}

export interface FallbackDependencies {
  readonly driver: Pick<Driver, 'addSoftSa' | 'removeSoftSa' | 'softSaStatistics'>;
  readonly clock: Clock;
  audit(event: AuditEvent): void;
  reportError(error: unknown): void;
}

/** Decides when traffic falls back to clear, and when that ends. */
export class ClearFallback {
  readonly #deps: FallbackDependencies;
  readonly #requests = new Map<string, FallbackRequest>();
  /** Peers that have not said a word since a main mode was begun with them. */
  readonly #silent = new Map<IpAddress, { readonly sinceMs: number; readonly cancel: () => void }>();
  readonly #soft = new Map<string, SoftAssociation>();
  #cancelCheck: (() => void) | undefined;
  #established = 0;

  constructor(deps: FallbackDependencies) {
    this.#deps = deps;
  }

  /** Soft SAs since the start. */
  get established(): number {
    return this.#established;
  }

  list(): readonly SoftAssociationInfo[] {
    return Array.from(this.#soft.values(), ({ id, endsAtMs, endReason, inForce, ...info }) => info);
  }

  /** A negotiation that may fall back has been asked for. It joins a main mode that may be under way. */
  wanted(request: FallbackRequest): void {
    this.#requests.set(request.id, request);
    this.#check(request.peer);
  }

  /** The negotiation is over, one way or the other. */
  finished(requestId: string): void {
    const peer = this.#requests.get(requestId)?.peer;
    this.#requests.delete(requestId);
    if (peer === undefined) return;
    const othersWait = [...this.#requests.values()].some(other => other.peer === peer);
    if (!othersWait) this.#forget(peer);
  }

  /** Watches what IKE does: the first main mode 1 starts the wait. */
  step({ direction, message, retransmission, peer }: NegotiationStep): void {
    if (direction !== 'sent' || message !== 'main mode 1' || retransmission !== 0) return;
    this.#forget(peer);
    const { clock } = this.#deps;
    const sinceMs = clock.nowMs();
    const cancel = clock.at(sinceMs + silenceMs, () => this.#check(peer));
    this.#silent.set(peer, { sinceMs, cancel });
  }

  /** An IKE message came from this address, authenticated or not. */
  heard(peer: IpAddress): void {
    this.#forget(peer);
    const latestMs = this.#deps.clock.nowMs() + answeredGraceMs;
    for (const soft of this.#soft.values()) {
      if (soft.peer !== peer || soft.endsAtMs <= latestMs) continue;
      soft.endsAtMs = latestMs;
      soft.endReason = 'the peer speaks IKE, but nothing was agreed';
      this.#scheduleCheck(latestMs);
    }
  }

  /** Traffic with a peer is protected now. */
  secured(peerOf: () => IpAddress | undefined): void {
    if (this.#soft.size === 0) return;
    const peer = peerOf();
    this.#endWhere(soft => soft.peer === peer, 'the peer has negotiated security');
  }

  /** Ends those whose filter is not as it was. */
  policyChanged(stands: (filterId: FilterId) => boolean): void {
    for (const [id, { filterId }] of this.#requests) if (!stands(filterId)) this.#requests.delete(id);
    this.#endWhere(soft => !stands(soft.filterId), 'the policy changed');
  }

  endAll(reason: string): void {
    this.#requests.clear();
    for (const peer of [...this.#silent.keys()]) this.#forget(peer);
    this.#endWhere(() => true, reason);
    this.#cancelCheck?.();
  }

  #forget(peer: IpAddress): void {
    this.#silent.get(peer)?.cancel();
    this.#silent.delete(peer);
  }

  #check(peer: IpAddress): void {
    const sinceMs = this.#silent.get(peer)?.sinceMs;
    const nowMs = this.#deps.clock.nowMs();
    if (sinceMs === undefined || nowMs < sinceMs + silenceMs) return;
    for (const request of this.#requests.values()) if (request.peer === peer) this.#fallBack(request, nowMs);
  }

  #fallBack(request: FallbackRequest, nowMs: number): void {
    const key = softKey(request);
    if (this.#soft.has(key)) return;
    const { driver, audit, reportError } = this.#deps;
    const { filterId, local, peer, idleSeconds } = request;
    const inForce = driver.addSoftSa({ filterId, local, peer }).catch(reportError);
    this.#soft.set(key, {
      ...request,
      establishedAtMs: nowMs,
      lastUsedAtMs: nowMs,
      packetsSent: 0,
      packetsReceived: 0,
      endsAtMs: Number.POSITIVE_INFINITY,
      endReason: '',
      inForce,
    });
    this.#established++;
    audit(establishedEvent(request, nowMs));
    this.#scheduleCheck(nowMs + Math.min(idleCheckMs, idleSeconds * 1_000));
  }

  #endWhere(wanted: (soft: SoftAssociation) => boolean, reason: string): void {
    for (const soft of [...this.#soft.values()]) if (wanted(soft)) this.#end(soft, reason);
  }

  #end(soft: SoftAssociation, reason: string): void {
    const { driver, audit, clock, reportError } = this.#deps;
    const { filterId, local, peer } = soft;
    this.#soft.delete(softKey(soft));
    soft.inForce.then(() => driver.removeSoftSa({ filterId, local, peer })).catch(reportError);
    audit(endedEvent(soft, clock.nowMs(), reason));
  }

  /** Looks after all soft SAs at `atMs`, and then regularly while there are any. */
  #scheduleCheck(atMs: number): void {
    const { clock } = this.#deps;
    this.#cancelCheck?.();
    const nextMs = Math.min(atMs, ...Array.from(this.#soft.values(), soft => soft.endsAtMs));
    this.#cancelCheck = clock.at(nextMs, () => void this.#endUnused().catch(this.#deps.reportError));
  }

  async #endUnused(): Promise<void> {
    this.#cancelCheck = undefined;
    if (this.#soft.size === 0) return;
    const counted = await this.#deps.driver.softSaStatistics();
    const nowMs = this.#deps.clock.nowMs();
    for (const { packetsSent, packetsReceived, ...hosts } of counted) {
      const soft = this.#soft.get(softKey(hosts));
      if (soft === undefined) continue;
      if (packetsSent !== soft.packetsSent || packetsReceived !== soft.packetsReceived)
        soft.lastUsedAtMs = nowMs;
      Object.assign(soft, { packetsSent, packetsReceived });
    }
    this.#endWhere(
      soft => nowMs >= soft.lastUsedAtMs + soft.idleSeconds * 1_000,
      'no traffic for the time the policy allows',
    );
    for (const soft of [...this.#soft.values()]) if (nowMs >= soft.endsAtMs) this.#end(soft, soft.endReason);
    if (this.#soft.size > 0) this.#scheduleCheck(nowMs + idleCheckMs);
  }
}

function softKey({ filterId, local, peer }: SoftSa): string {
  return `${filterId} ${local} ${peer}`;
}

/** A soft SA has no SPI. */
const noSpi = 0 as Spi;

/** What Windows writes of a soft SA: a quick mode that uses nothing. */
function establishedEvent({ local, peer, selector }: FallbackRequest, atMs: number): AuditEvent {
  return {
    id: 541,
    mode: 'quick',
    atMs,
    local,
    peer,
    peerIdentity: `none: ${peer} does not answer IKE, so its traffic passes in clear (soft SA)`,
    filter: selector,
    parameters: {
      esp: 'None',
      hmac: 'None',
      ah: 'None',
      encapsulation: 'Transport Mode',
      inboundSpi: noSpi,
      outboundSpi: noSpi,
      lifetimeSeconds: 0,
      lifetimeKilobytes: 0,
    },
  };
}

function endedEvent({ local, peer, selector }: FallbackRequest, atMs: number, reason: string): AuditEvent {
  return {
    id: 542,
    atMs,
    local,
    peer,
    filter: selector,
    inboundSpi: noSpi,
    outboundSpi: noSpi,
    reason: `soft SA: ${reason}`,
  };
}
