/**
 * What is wanted, and the exchanges that get it: acquires and renewals become main modes and quick modes, one at
 * a time for the same peer and traffic; what becomes of those exchanges decides how it goes on.
 */
import type { FilterId, PairId } from '../driver/api.js';
import type { AcquireRequest, ConnectRequest, FailureReason, NegotiationFailure } from './api.js';
import {
  type Hosts,
  isBehindNat,
  isPending,
  pendingCarrier,
  policyOf,
  readyCarrier,
  renewMainMode,
  requireUsable,
  suits,
} from './carrier.js';
import { closedDuringSession, isClient, startClientSession } from './client-session.js';
import { Connections } from './connections.js';
import type { Context, ExchangeListener } from './context.js';
import { watchPeer } from './dead-peer.js';
import { deleteMainMode, endPair, newestMainMode } from './deletion.js';
import { failure } from './failures.js';
import { startKeepalives } from './keepalive.js';
import { initiatorSoftLife } from './lifetimes.js';
import { casualtiesOf, endDead, endForgotten } from './lost-peer.js';
import { type EstablishedMainMode, isReady, type MainMode } from './main-mode.js';
import { auditFailure, closeMainMode } from './main-mode-life.js';
import { passableMethods } from './nat-traversal.js';
import { placeOf } from './peer-place.js';
import type { PairRecord, QuickMode } from './quick-mode.js';
import { startQuickMode } from './quick-mode-initiator.js';
import { explainSilence } from './undelivered.js';
import { type PairRequest, type Wanted, WantedBook } from './wanted.js';

/** How long a replaced pair still receives: packets under way, and a peer that switches late. */
const replacedPairMs = 30_000;

/** A renewal that failed is tried again after this time, as long as the old pair lives. */
const renewAgainMs = 30_000;

/** Retransmissions of quick mode 1 after which the main mode it runs under is no longer trusted. */
const doubtfulRetransmission = 3;

/** The retransmission at which such a quick mode goes on under another main mode, if there is one. */
const crossedRetransmission = 2;

export class Negotiations implements ExchangeListener {
  readonly #context: Context;
  readonly #connections: Connections;
  readonly #wanted = new WantedBook();

  constructor(context: Context) {
    this.#context = context;
    this.#connections = new Connections(context, mainMode => this.#closeUnwanted(mainMode));
  }

  /** Requests being worked on. */
  get active(): number {
    return this.#wanted.size;
  }

  /** A main mode and the gateway's configuration, whether they are there or have to be negotiated. */
  connect(request: ConnectRequest): void {
    const context = this.#context;
    const ready = newestMainMode(context, request, mainMode => !mainMode.retired && isReady(mainMode));
    if (ready !== undefined) {
      this.#connections.add(request, ready);
      return;
    }
    const [first] = context.environment.policy.mainModes(request.local, request.peer);
    const usable = requireUsable(request, first);
    if ('reason' in usable) this.#connections.refuse(request, usable.reason, usable.text);
    else this.#connections.add(request, pendingCarrier(context, request, usable.policy));
  }

  acquire({ id, ...request }: AcquireRequest): void {
    this.#context.counters.totalAcquire++;
    this.#wanted.want(request).requestIds.add(id);
    this.#advance(request);
  }

  /** A soft limit was reached. Only the newest pair of its traffic is renewed; older ones are left to end. */
  renew(record: PairRecord): void {
    const { pair, policy } = record;
    if (record.removal !== undefined || this.#context.pairs.newest(record) !== record) return;
    const request = { ...placeOf(record), quickMode: policy };
    this.#wanted.want(request).replaces ??= pair.id;
    this.#advance(request);
  }

  /** Withdraws a request; the exchanges nobody else waits for end silently. */
  cancel(requestId: string): void {
    this.#connections.cancel(requestId);
    for (const wanted of this.#wanted.all()) {
      if (!wanted.requestIds.delete(requestId)) continue;
      this.#report(requestId, this.#failure(wanted, 'cancelled', 'the request was withdrawn'));
      if (wanted.requestIds.size === 0 && wanted.replaces === undefined) this.#abandon(wanted);
    }
  }

  /** Ends every negotiation between two hosts (or all), reporting `reason` to those who wait. */
  abandonAll(reason: FailureReason, text: string, hosts?: Hosts): void {
    const isMeant = ({ local, peer }: Hosts) =>
      hosts === undefined || (local === hosts.local && peer === hosts.peer);
    this.#connections.abandon(reason, text, ({ request }) => isMeant(request));
    this.#abandonEach(reason, text, isMeant);
  }

  /** The same for those of filters that are gone. */
  abandonFilters(
    reason: FailureReason,
    text: string,
    isGone: (filterId: FilterId | undefined) => boolean,
  ): void {
    this.#abandonEach(reason, text, ({ quickMode }) => isGone(quickMode.filterId));
  }

  /** Ends every negotiation from an address of this host. */
  abandonAddress(reason: FailureReason, text: string, local: MainMode['local']): void {
    this.#connections.abandon(reason, text, ({ request }) => request.local === local);
    this.#abandonEach(reason, text, request => request.local === local);
  }

  #abandonEach(reason: FailureReason, text: string, isMeant: (request: PairRequest) => boolean): void {
    for (const wanted of this.#wanted.all()) {
      if (!isMeant(wanted.request)) continue;
      this.#abandon(wanted);
      this.#reportAll(wanted, this.#failure(wanted, reason, text));
    }
  }

  /**
   * While `end` ends these main modes, for `reason`, pairs that wait for one of them are held back; then they are begun
   * anew without them. Who waited for such a main mode itself hears `policy-changed`.
   */
  beginAnewWithout(mainModes: readonly MainMode[], reason: string, end: () => void): void {
    this.#connections.abandon('policy-changed', reason, ({ mainMode }) => mainModes.includes(mainMode));
    const held = this.#wanted
      .all()
      .filter(({ mainMode, quickMode }) =>
        mainModes.some(
          gone => gone === mainMode || (quickMode && gone.quickModes.get(quickMode.messageId) === quickMode),
        ),
      );
    for (const wanted of held) {
      if (wanted.quickMode) this.#stop(wanted.quickMode, wanted.request);
      delete wanted.quickMode;
      delete wanted.mainMode;
    }
    end();
    for (const wanted of held) this.#advance(wanted.request);
  }

  mainModeEstablished(mainMode: EstablishedMainMode): void {
    const context = this.#context;
    if (mainMode.initialContact) endForgotten(context, mainMode);
    this.mainModeShortened(mainMode);
    watchPeer(context, mainMode);
    startKeepalives(context, mainMode);
    if (isClient(mainMode.policy)) startClientSession(context, mainMode);
    else this.mainModeReady(mainMode);
  }

  addressChanged({ local, peer }: EstablishedMainMode, text: string): void {
    const isMeant = (request: Hosts) => request.local === local && request.peer === peer;
    this.#abandonEach('no-address', text, isMeant);
  }

  /** Its end as it is now; what was scheduled before finds it gone or replaced. */
  mainModeShortened(mainMode: EstablishedMainMode): void {
    const context = this.#context;
    const { establishedAtMs, expiresAtMs } = mainMode.state;
    context.schedule(mainMode, expiresAtMs, () => deleteMainMode(context, mainMode, 'its lifetime is over'));
    if (mainMode.role !== 'initiator') return;
    const softMs = initiatorSoftLife(expiresAtMs - establishedAtMs, context.jitter());
    context.schedule(mainMode, establishedAtMs + softMs, () => renewMainMode(context, mainMode));
  }

  mainModeWornOut(mainMode: EstablishedMainMode): void {
    renewMainMode(this.#context, mainMode);
    deleteMainMode(this.#context, mainMode, 'it has used all the message ids that are remembered');
  }

  mainModeReady(mainMode: EstablishedMainMode): void {
    this.#connections.ready(mainMode);
    for (const wanted of this.#wanted.under(mainMode)) {
      if (wanted.quickMode !== undefined && wanted.mainMode !== mainMode) continue;
      const isSuited = suits(this.#context, mainMode, wanted.request);
      // One that the peer has begun need not be for this.
      if (!isSuited && wanted.mainMode !== mainMode) continue;
      if (!isSuited) delete wanted.mainMode;
      if (isSuited && !mainMode.retired) this.#start(wanted, mainMode);
      else this.#advance(wanted.request);
    }
  }

  mainModeFailed(mainMode: MainMode, reason: NegotiationFailure): void {
    this.#connections.failed(mainMode, reason);
    for (const wanted of this.#wanted.all()) {
      if (wanted.mainMode !== mainMode) continue;
      delete wanted.mainMode;
      // Under an older main mode its quick mode may still succeed.
      if (wanted.quickMode === undefined) this.#fail(wanted, reason);
    }
  }

  mainModeClosed(mainMode: MainMode): void {
    const context = this.#context;
    const unfinished = closedDuringSession(mainMode);
    if (unfinished !== undefined) this.mainModeFailed(mainMode, unfinished);
    for (const quickMode of mainMode.quickModes.values()) {
      const { state } = quickMode;
      if (state.stage === 'awaiting 2') {
        this.#stop(quickMode, mainMode);
        this.#lose(quickMode, 'its main mode ended');
      } else if (state.stage === 'awaiting 3') {
        const record = context.pairs.get(state.pairId);
        if (record) endPair(context, record, 'its main mode ended before it was in use', true);
      } else if (state.stage === 'awaiting 4') {
        const confirm = context.pairs.get(state.pairId)?.confirm;
        if (confirm) confirm();
        else this.#lose(quickMode, 'its pair and its main mode ended before it was in use');
      }
    }
  }

  /** Nothing can come of a quick mode any more. */
  #lose(quickMode: QuickMode, text: string): void {
    const wanted = this.#wanted.by(quickMode);
    if (wanted) this.#restartOrFail(wanted, 'peer-deleted', text);
  }

  quickModeEstablished(mainMode: MainMode, quickMode: QuickMode, record: PairRecord): void {
    const { pair } = record;
    const request = { local: mainMode.local, peer: mainMode.peer, quickMode: quickMode.policy };
    const wanted =
      this.#wanted.by(quickMode) ??
      this.#wanted.for({ ...request, ...placeOf(record) }) ??
      this.#wanted.for(request);
    // A pair the peer made serves as well, unless our own quick mode is under way: then both are kept.
    if (wanted === undefined || (wanted.quickMode !== undefined && wanted.quickMode !== quickMode)) return;
    this.#wanted.delete(wanted);
    for (const requestId of wanted.requestIds)
      this.#context.emit({ kind: 'acquired', requestId, pairId: pair.id });
    if (wanted.replaces !== undefined && wanted.quickMode === quickMode) this.#retire(wanted.replaces);
  }

  quickModeFailed(mainMode: MainMode, quickMode: QuickMode, reason: NegotiationFailure): void {
    const wanted = this.#wanted.by(quickMode);
    if (wanted === undefined) return;
    delete wanted.quickMode;
    if (wanted.mainMode !== undefined && wanted.mainMode !== mainMode) return;
    const underAnother = reason.reason === 'no-response' || reason.reason === 'quick-mode-limit';
    if (!underAnother || wanted.restarted) this.#fail(wanted, reason);
    else {
      mainMode.retired = true;
      this.#restartOrFail(wanted, reason.reason, reason.text);
    }
  }

  pairLost(record: PairRecord): void {
    this.#context.progress(record.peer, 'note', 'quick mode', 'the peer has lost its SAs: negotiating anew');
    this.renew(record);
  }

  pairUnused(record: PairRecord, reason: string): void {
    endPair(this.#context, record, reason, true);
  }

  /** Starts a main mode beside the doubtful one for what waits under it; the doubtful one stays until it ends. */
  mainModeDoubted(mainMode: EstablishedMainMode): void {
    for (const wanted of this.#wanted.under(mainMode)) {
      const waits = wanted.quickMode !== undefined && mainMode.quickModes.has(wanted.quickMode.messageId);
      if (!waits || wanted.mainMode !== mainMode || wanted.restarted || isBehindNat(wanted.request)) continue;
      wanted.restarted = true;
      this.#context.progress(
        mainMode.peer,
        'note',
        'main mode',
        'the peer seems to have lost it: starting anew',
      );
      const policy = policyOf(this.#context, wanted.request) ?? mainMode.policy;
      wanted.mainMode = pendingCarrier(this.#context, wanted.request, policy);
    }
  }

  peerDead(mainMode: EstablishedMainMode): void {
    const context = this.#context;
    const reason = explainSilence(mainMode, 'the peer does not answer (dead peer detection)');
    const casualties = casualtiesOf(context, mainMode);
    if (casualties.living.length === 0) this.abandonAll('dead-peer', reason, mainMode);
    endDead(context, mainMode, casualties, reason);
  }

  /** The next thing to do for a request: a quick mode if a main mode is up, else a main mode. */
  #advance(request: PairRequest): void {
    const wanted = this.#wanted.want(request);
    if (wanted.quickMode !== undefined || (wanted.mainMode && isPending(wanted.mainMode))) return;
    const established = readyCarrier(this.#context, request);
    if (established) {
      this.#start(wanted, established);
      return;
    }
    if (isBehindNat(request)) {
      const text = `no main mode is up with the client at port ${request.peerPort} of ${request.peer}, and only it can begin one`;
      this.#context.progress(request.peer, 'note', 'quick mode', `not renewed: ${text}`);
      this.#fail(wanted, this.#failure(wanted, 'no-response', text));
      return;
    }
    const usable = requireUsable(request, policyOf(this.#context, request));
    if ('reason' in usable) this.#refuse(wanted, usable.reason, usable.text);
    else if (request.quickMode.methods.length === 0)
      this.#refuse(wanted, 'no-proposal-chosen', `the rule for ${request.peer} has no security method`);
    else wanted.mainMode = pendingCarrier(this.#context, request, usable.policy);
  }

  #start(wanted: Wanted, mainMode: EstablishedMainMode): void {
    if (wanted.quickMode !== undefined) this.#stop(wanted.quickMode, wanted.request);
    const policy = passableMethods(mainMode, wanted.request.quickMode);
    if (policy.methods.length === 0) {
      this.#refuse(
        wanted,
        'no-proposal-chosen',
        'every security method uses AH, which cannot pass the NAT between us',
      );
      return;
    }
    const startedAtMs = this.#context.nowMs;
    wanted.mainMode = mainMode;
    wanted.quickMode = startQuickMode(this.#context, mainMode, policy, retransmission => {
      if (mainMode.lastInboundAtMs > startedAtMs) return;
      if (retransmission === crossedRetransmission) this.#startUnderAnother(wanted, mainMode);
      else if (retransmission === doubtfulRetransmission) this.mainModeDoubted(mainMode);
    });
    const { quickModeLimit } = mainMode.policy;
    if (quickModeLimit > 0 && mainMode.quickModesMade >= quickModeLimit) mainMode.retired = true;
  }

  /** Of two main modes that have crossed, the peer may have forgotten one because of INITIAL-CONTACT in the other. */
  #startUnderAnother(wanted: Wanted, silent: EstablishedMainMode): void {
    const other = readyCarrier(this.#context, wanted.request, silent);
    if (other === undefined) return;
    this.#start(wanted, other);
    deleteMainMode(this.#context, silent, 'the peer does not answer under it');
  }

  /** Ends our half of a quick mode, unless it has made a pair. Its message id stays used: what still comes is ignored. */
  #stop(quickMode: QuickMode, { peer }: Hosts): void {
    if (quickMode.state.stage === 'awaiting 4') return;
    quickMode.request?.stop();
    if (quickMode.state.stage === 'awaiting 2') this.#context.releaseSpis(quickMode.state.spis);
    quickMode.state = { stage: 'failed' };
    for (const { quickModes } of this.#context.mainModes.ofPeer(peer))
      if (quickModes.get(quickMode.messageId) === quickMode) quickModes.delete(quickMode.messageId);
  }

  #restartOrFail(wanted: Wanted, reason: FailureReason, text: string): void {
    delete wanted.quickMode;
    delete wanted.mainMode;
    if (wanted.restarted) this.#fail(wanted, this.#failure(wanted, reason, text));
    else {
      wanted.restarted = true;
      this.#advance(wanted.request);
    }
  }

  #refuse(wanted: Wanted, reason: FailureReason, text: string): void {
    const refused = this.#failure(wanted, reason, text);
    auditFailure(this.#context, wanted.request, refused);
    this.#fail(wanted, refused);
  }

  #fail(wanted: Wanted, reason: NegotiationFailure): void {
    this.#wanted.delete(wanted);
    this.#reportAll(wanted, reason);
    const old = wanted.replaces && this.#context.pairs.get(wanted.replaces);
    if (old === undefined) return;
    const { timers, nowMs } = this.#context;
    timers.schedule(nowMs + renewAgainMs, () => {
      if (this.#context.pairs.get(old.pair.id) === old) this.renew(old);
    });
  }

  #abandon(wanted: Wanted): void {
    this.#wanted.delete(wanted);
    const { mainMode, quickMode } = wanted;
    if (quickMode) this.#stop(quickMode, wanted.request);
    if (mainMode !== undefined) this.#closeUnwanted(mainMode);
  }

  /** Closes a main mode that is not ready and that nobody waits for any more. */
  #closeUnwanted(mainMode: MainMode): void {
    if (!isPending(mainMode)) return;
    const othersWait =
      this.#connections.waitFor(mainMode) || this.#wanted.all().some(other => other.mainMode === mainMode);
    if (!othersWait) closeMainMode(this.#context, mainMode);
  }

  #reportAll(wanted: Wanted, reason: NegotiationFailure): void {
    for (const requestId of wanted.requestIds) this.#report(requestId, reason);
  }

  #report(requestId: string, reason: NegotiationFailure): void {
    this.#context.counters.acquireFailures++;
    this.#context.emit({ kind: 'acquireFailed', requestId, failure: reason });
  }

  #failure({ request, quickMode }: Wanted, reason: FailureReason, text: string): NegotiationFailure {
    const { local, peer } = request;
    return failure({ mode: quickMode ? 'quick' : 'main', local, peer, point: 'me', reason, text });
  }

  /** A pair that has been replaced receives a little longer, then it goes. */
  #retire(pairId: PairId): void {
    const context = this.#context;
    const record = context.pairs.get(pairId);
    if (record === undefined || record.removal !== undefined) return;
    record.removal = context.timers.schedule(context.nowMs + replacedPairMs, () =>
      endPair(context, record, 'replaced by a newer pair', true),
    );
  }
}
