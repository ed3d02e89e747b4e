/**
 * The IKE engine (RFC 2407 to 2409): datagrams, requests and the time go in, effects come out. It owns no socket,
 * clock or file, and keeps no reference to a datagram it was given.
 */
import type { Secret } from '../crypto/secret.js';
import type { Endpoint, IkeDatagram, PairId } from '../driver/api.js';
import { toHex, WireError } from '../wire/bytes.js';
import type { IpAddress } from '../wire/ip/address.js';
import { decodeHeader, decodeMessage, findPayload, type IsakmpHeader } from '../wire/isakmp/message.js';
import { exchangeTypes, notifyTypes, payloadTypes } from '../wire/isakmp/numbers.js';
import type {
  AcquireRequest,
  ConnectRequest,
  ExportedKeys,
  FetchedCrl,
  IkeEffect,
  IkeEnvironment,
  PolicyChange,
  PromptField,
  UnknownSpi,
} from './api.js';
import { CrlsWanted, WaitingForCrls } from './auth/revocation.js';
import { Context } from './context.js';
import { endPair, endTogether } from './deletion.js';
import { wholeMessage } from './fragments.js';
import type { Incoming } from './incoming.js';
import type { IkeStatistics, MainModeInfo, QuickModeInfo } from './info.js';
import { receiveInformational } from './informational-receive.js';
import { refuseWithoutState } from './informational-send.js';
import { endAddress } from './lost-peer.js';
import { isEstablished, type MainMode } from './main-mode.js';
import { closeMainMode, exportedMainModeKeys } from './main-mode-life.js';
import { receiveMainMode } from './main-mode-receive.js';
import { Negotiations } from './negotiations.js';
import { followPeer } from './peer-place.js';
import { endStale, staleUnder } from './policy-change.js';
import type { PairRecord } from './quick-mode.js';
import { receiveQuickMode } from './quick-mode-receive.js';
import { receiveTransaction } from './transaction.js';
import { noteUndelivered, type Undelivered } from './undelivered.js';
import { receiveWithoutMainMode, reportUnknownSpi } from './unknown-spi.js';
import { answerPrompt } from './xauth.js';

export class IkeEngine {
  readonly #context: Context;
  readonly #negotiations: Negotiations;
  readonly #waitingForCrls: WaitingForCrls;

  constructor(environment: IkeEnvironment) {
    this.#context = new Context(environment);
    this.#negotiations = new Negotiations(this.#context);
    this.#context.listener = this.#negotiations;
    this.#waitingForCrls = new WaitingForCrls(this.#context, datagram => this.#take(datagram));
  }

  /** A message from UDP 500 or 4500, without the non-ESP marker. Whatever it holds, it only ever returns. */
  receive(datagram: IkeDatagram, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => this.#take(datagram));
  }

  /** The answer to a `fetchCrls` effect, with a result for each URL. */
  crlsFetched(requestId: string, results: readonly FetchedCrl[], nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => this.#waitingForCrls.fetched(requestId, results));
  }

  /** Negotiates a pair for some traffic; the same request again joins the first. */
  acquire(request: AcquireRequest, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => this.#negotiations.acquire(request));
  }

  /** Negotiates a main mode, and what the gateway configures us with; ends as `connected` or `acquireFailed`. */
  connect(request: ConnectRequest, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => this.#negotiations.connect(request));
  }

  /** What the user answers to a `prompt` effect; without answers nobody is there, and the main mode fails. */
  answerPrompt(
    id: string,
    answers: Readonly<Partial<Record<PromptField, Secret<string>>>> | undefined,
    nowMs: number,
  ): IkeEffect[] {
    return this.#at(nowMs, () => answerPrompt(this.#context, id, answers));
  }

  /** Withdraws an acquire: it ends as `acquireFailed` with reason `cancelled`. */
  cancel(requestId: string, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => this.#negotiations.cancel(requestId));
  }

  /** The driver says a pair has reached its soft (renew it) or hard limit (it is over). */
  expire(pairId: PairId, limit: 'soft' | 'hard', nowMs: number): IkeEffect[] {
    return this.#withPair(pairId, nowMs, record => {
      if (limit === 'soft') this.#negotiations.renew(record);
      else {
        endPair(this.#context, record, 'its lifetime is over', true);
        this.#context.pairs.successorOf(record)?.confirm?.();
      }
    });
  }

  /** The driver saw the first authenticated packet on a pair: the peer has the keys. */
  inboundUsed(pairId: PairId, nowMs: number): IkeEffect[] {
    return this.#withPair(pairId, nowMs, record => record.confirm?.());
  }

  /** The driver saw authenticated packets from another UDP address: IKE follows a peer behind NAT. */
  peerMoved(pairId: PairId, peer: Endpoint, nowMs: number): IkeEffect[] {
    return this.#withPair(pairId, nowMs, record => {
      if (record.seenAt !== undefined) followPeer(this.#context, record.peer, record.seenAt, peer);
    });
  }

  /** An ICMP error came about a message of ours. */
  undelivered(undelivered: Undelivered, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => noteUndelivered(this.#context, undelivered));
  }

  /** The driver got a packet for an SA that is not there: its sender is told, if that helps. */
  unknownSpi(unknown: UnknownSpi, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => reportUnknownSpi(this.#context, unknown));
  }

  /** Ends one pair and tells the peer. */
  closePair(pairId: PairId, nowMs: number, reason: string): IkeEffect[] {
    return this.#withPair(pairId, nowMs, record => endPair(this.#context, record, reason, true));
  }

  /**
   * Ends what was negotiated under a policy that holds no longer, and tells the peers. What waits for a filter that is
   * gone hears `policy-changed`; what else waited is negotiated anew.
   */
  policyChanged(change: PolicyChange, nowMs: number, reason: string): IkeEffect[] {
    return this.#at(nowMs, () => {
      this.#negotiations.abandonFilters('policy-changed', reason, filterId => !change.keepsFilter(filterId));
      const stale = staleUnder(this.#context, change);
      this.#negotiations.beginAnewWithout(stale.mainModes, reason, () =>
        endStale(this.#context, stale, reason),
      );
    });
  }

  /** This host has an address no longer: what was negotiated from there ends. */
  addressLost(local: IpAddress, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => {
      const reason = `${local} is no longer an address of this host`;
      this.#negotiations.abandonAddress('address-lost', reason, local);
      endAddress(this.#context, local, reason);
    });
  }

  /** The SAs `policyChanged` would end, without doing it. */
  stale(change: PolicyChange): { mainModes: MainModeInfo[]; quickModes: QuickModeInfo[] } {
    const { pairs, mainModes } = staleUnder(this.#context, change);
    return {
      mainModes: mainModes.map(mainModeInfo),
      quickModes: pairs.filter(({ active }) => active).map(quickModeInfo),
    };
  }

  /** Ends everything and tells all peers. */
  closeAll(nowMs: number, reason: string): IkeEffect[] {
    return this.#at(nowMs, () => {
      const { pairs, mainModes } = this.#context;
      this.#negotiations.abandonAll('policy-changed', reason);
      endTogether(this.#context, pairs.all(), mainModes.all().filter(isEstablished), reason);
      for (const unfinished of mainModes.all()) closeMainMode(this.#context, unfinished);
    });
  }

  /** Does what is due at `nowMs`. Every other call does that too, before its own work. */
  tick(nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => {});
  }

  /** When `tick` is due next; `undefined`: never, until something comes in. */
  nextWakeMs(): number | undefined {
    return this.#context.timers.nextMs();
  }

  /** Main modes, oldest first, those being negotiated too. */
  mainModes(): MainModeInfo[] {
    return this.#context.mainModes.all().map(mainModeInfo);
  }

  /** Pairs both sides use. */
  quickModes(): QuickModeInfo[] {
    return this.#context.pairs
      .all()
      .filter(({ active }) => active)
      .map(quickModeInfo);
  }

  /** The keys of everything alive that has some: for a capture that begins now. */
  exportedKeys(): ExportedKeys[] {
    const { mainModes, pairs } = this.#context;
    return [
      ...mainModes
        .all()
        .flatMap(mainMode =>
          isEstablished(mainMode) ? [exportedMainModeKeys(mainMode, mainMode.state.keys)] : [],
        ),
      ...pairs.all().map(({ pair }): ExportedKeys => ({ kind: 'sa', pair })),
    ];
  }

  /** What IKE knows of its counters; those of the sockets and the driver are 0 here. */
  statistics(): IkeStatistics {
    const { counters, mainModes, pairs } = this.#context;
    return {
      ...counters,
      softAssociations: 0,
      activeAcquire: this.#negotiations.active,
      activeReceive: 0,
      receiveFailures: 0,
      sendFailures: 0,
      acquireHeapSize: this.#negotiations.active,
      receiveHeapSize: 0,
      getSpiFailures: 0,
      keyAdditionFailures: 0,
      keyUpdateFailures: 0,
      isadbListSize: mainModes.size,
      connectionListSize: pairs.size,
    };
  }

  /** Runs what is due, then `work`, and returns all their effects in order. */
  #at(nowMs: number, work: () => void): IkeEffect[] {
    const context = this.#context;
    for (let due = context.timers.takeDue(nowMs); due; due = context.timers.takeDue(nowMs)) {
      context.nowMs = nowMs;
      due();
    }
    context.nowMs = nowMs;
    work();
    return context.takeEffects();
  }

  #withPair(pairId: PairId, nowMs: number, work: (record: PairRecord) => void): IkeEffect[] {
    return this.#at(nowMs, () => {
      const record = this.#context.pairs.get(pairId);
      if (record) work(record);
    });
  }

  #take(datagram: IkeDatagram): void {
    try {
      this.#route(datagram);
    } catch (error) {
      if (error instanceof CrlsWanted) return this.#waitingForCrls.wait(error, datagram);
      if (!(error instanceof WireError)) throw error;
      this.#context.counters.invalidPackets++;
      this.#context.progress(datagram.peer.address, 'note', 'message', `ignored: ${error.message}`);
    }
  }

  #route(datagram: IkeDatagram): void {
    const header = decodeHeader(datagram.bytes);
    const bytes = new Uint8Array(datagram.bytes.subarray(0, header.length));
    const incoming = { header: decodeHeader(bytes), datagram: { ...datagram, bytes } };
    const context = this.#context;
    if (header.nextPayload === payloadTypes.FRAGMENT) {
      this.#reassemble(incoming);
      return;
    }
    switch (header.exchangeType) {
      case exchangeTypes['Main mode']:
      case exchangeTypes['Aggressive mode']:
        receiveMainMode(context, incoming);
        return;
      case exchangeTypes['Quick mode']: {
        const mainMode = this.#find(header);
        if (mainMode !== undefined && isEstablished(mainMode)) receiveQuickMode(context, mainMode, incoming);
        // We may have been started anew: then the peer should start anew as well.
        if (mainMode === undefined)
          refuseWithoutState(context, incoming, notifyTypes['INVALID-COOKIE'], () => {});
        return;
      }
      case exchangeTypes.Informational: {
        const mainMode = this.#find(header);
        if (mainMode !== undefined) receiveInformational(context, mainMode, incoming);
        else receiveWithoutMainMode(context, incoming);
        return;
      }
      case exchangeTypes.Transaction: {
        const mainMode = this.#find(header);
        if (mainMode !== undefined && isEstablished(mainMode))
          receiveTransaction(context, mainMode, incoming);
        return;
      }
      case exchangeTypes.Base:
      case exchangeTypes['Authentication only']:
      case exchangeTypes['New group mode']:
        refuseWithoutState(context, incoming, notifyTypes['UNSUPPORTED-EXCHANGE-TYPE'], () => {});
        return;
      default:
        // AuthIP (243 to 246) gets no answer: a Windows peer falls back to IKE by itself.
        return;
    }
  }

  /** A piece of a message of an exchange we know; the whole goes the usual way. */
  #reassemble({ header, datagram }: Incoming): void {
    const mainMode = this.#find(header);
    const piece = mainMode && findPayload(decodeMessage(datagram.bytes), 'fragment')?.payload;
    if (piece) mainMode.peerFragments = true;
    const exchange = `${header.exchangeType} ${header.messageId}`;
    const joined = piece && mainMode.fragments.add(exchange, piece, this.#context.nowMs);
    if (piece && !isEstablished(mainMode)) this.#context.unfinishedFragments.note(mainMode.fragments);
    const bytes = joined && wholeMessage(header, joined);
    // A message in fragments of fragments would be an attempt to make us recurse.
    if (bytes && decodeHeader(bytes).nextPayload !== payloadTypes.FRAGMENT)
      this.#take({ ...datagram, bytes });
  }

  /** The main mode a message belongs to; the peer's first word may come with a cookie we do not know yet. */
  #find(header: IsakmpHeader): MainMode | undefined {
    const { mainModes, counters } = this.#context;
    const found =
      mainModes.byCookies(header.initiatorCookie, header.responderCookie) ??
      mainModes.awaitingPeer(header.initiatorCookie);
    if (found === undefined) counters.invalidCookies++;
    return found;
  }
}

function mainModeInfo(mainMode: MainMode): MainModeInfo {
  const { local, peerAddress, localPort, peerPort, role, nat, vendors, state, retired, peerVerdict } =
    mainMode;
  const choice = 'choice' in state ? state.choice : undefined;
  return {
    local,
    peer: peerAddress,
    localPort,
    peerPort,
    initiatorCookie: toHex(mainMode.initiatorCookie),
    responderCookie: toHex(mainMode.responderCookie),
    role,
    state: state.stage !== 'established' ? 'negotiating' : retired ? 'expiring' : 'established',
    natDetected: nat,
    vendorIds: vendors.names,
    quickModes: mainMode.quickModesMade,
    ...(choice === undefined ? {} : { method: choice.method, authentication: choice.authentication.kind }),
    ...(state.stage === 'established'
      ? {
          peerIdentity: state.peerIdentity,
          establishedAtMs: state.establishedAtMs,
          expiresAtMs: state.expiresAtMs,
        }
      : {}),
    ...(peerVerdict === undefined
      ? {}
      : { peerCertificates: peerVerdict.chain.map(({ subject }) => subject.text) }),
  };
}

function quickModeInfo({ pair, method, establishedAtMs, role }: PairRecord): QuickModeInfo {
  const { inbound, outbound, ...rest } = pair;
  const { hardSeconds } = pair.lifetime;
  const show = (halves: typeof inbound) => halves.map(({ protocol, spi }) => ({ protocol, spi }));
  return {
    pair: rest,
    inbound: show(inbound),
    outbound: show(outbound),
    method,
    establishedAtMs,
    role,
    ...(hardSeconds > 0 ? { expiresAtMs: establishedAtMs + hardSeconds * 1_000 } : {}),
  };
}
