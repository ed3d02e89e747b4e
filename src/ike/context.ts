/**
 * What every exchange works with: the surroundings, the time of the call being served, the tables of SAs, the
 * counters, and the list of effects the call will return.
 */
import type { PairId, SaPair, Spi } from '../driver/api.js';
import { toHex } from '../wire/bytes.js';
import type { IpAddress } from '../wire/ip/address.js';
import { summarisePayloads } from '../wire/isakmp/describe.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type {
  AuditEvent,
  IkeEffect,
  IkeEnvironment,
  IkeOptions,
  NegotiationFailure,
  NegotiationStep,
} from './api.js';
import { piecesToSend } from './fragment-sending.js';
import { FragmentBudget } from './fragments.js';
import {
  type EstablishedMainMode,
  isEstablished,
  isZeroCookie,
  type MainMode,
  MainModeTable,
  messageIdsKept,
} from './main-mode.js';
import { type OwnSpis, type PairRecord, PairTable, type QuickMode } from './quick-mode.js';
import { RateLimit } from './rate-limit.js';
import { lowestSpi } from './spi.js';
import { type Counters, newCounters } from './statistics.js';
import { type Timer, TimerQueue } from './timers.js';

/** What exchanges report to the part of the engine that started them (`negotiations.ts`). */
export interface ExchangeListener {
  mainModeEstablished(mainMode: EstablishedMainMode): void;
  /** Quick modes can begin. */
  mainModeReady(mainMode: EstablishedMainMode): void;
  /** The gateway now assigns another address: what waits for pairs from the one before waits in vain. */
  addressChanged(mainMode: EstablishedMainMode, text: string): void;
  /** It ends earlier than it did when it was established. */
  mainModeShortened(mainMode: EstablishedMainMode): void;
  /** It has used as many message ids as are remembered. */
  mainModeWornOut(mainMode: EstablishedMainMode): void;
  mainModeFailed(mainMode: MainMode, failure: NegotiationFailure): void;
  /** It is gone, for whatever reason; its quick modes go with it. */
  mainModeClosed(mainMode: MainMode): void;
  quickModeEstablished(mainMode: MainMode, quickMode: QuickMode, record: PairRecord): void;
  quickModeFailed(mainMode: MainMode, quickMode: QuickMode, failure: NegotiationFailure): void;
  /** A pair the initiator never came to use. */
  pairUnused(record: PairRecord, reason: string): void;
  /** The peer, authenticated, says it does not know the SAs we send with. */
  pairLost(record: PairRecord): void;
  /** Something unauthenticated says the peer does not know this main mode any more. */
  mainModeDoubted(mainMode: EstablishedMainMode): void;
  /** The peer answers no probe. */
  peerDead(mainMode: EstablishedMainMode): void;
}

/** An event without what the context fills in. */
type AuditBody = AuditEvent extends infer Event
  ? Event extends AuditEvent
    ? Omit<Event, 'atMs'>
    : never
  : never;

/** What is said of a message sent. */
export interface SentMessage {
  readonly name: string;
  readonly payloads: readonly Payload[];
  readonly retransmission?: number;
}

/** How long packets for a pair that has ended may still come, and for how many SPIs that is remembered. */
const underWayMs = 10_000;
const endedSpisKept = 1_024;

export class Context {
  readonly environment: IkeEnvironment;
  readonly timers = new TimerQueue();
  readonly mainModes = new MainModeTable();
  readonly pairs = new PairTable();
  readonly counters: Counters = newCounters();
  /** Limits what is refused in clear. */
  readonly refusals = new RateLimit();
  /** Limits answers in aggressive mode, which cost much. */
  readonly aggressiveAnswers = new RateLimit();
  /** Limits what is said of packets for SAs that are not there. */
  readonly unknownSpis = new RateLimit();
  /** Limits what is told of ICMP errors. */
  readonly undeliveredReports = new RateLimit();
  readonly unfinishedFragments = new FragmentBudget();
  readonly #endedSpis = new Map<Spi, number>();
  nowMs = 0;
  #listener: ExchangeListener | undefined;
  readonly #reservedSpis = new Set<Spi>();
  #effects: IkeEffect[] = [];

  constructor(environment: IkeEnvironment) {
    this.environment = environment;
  }

  get options(): IkeOptions {
    return this.environment.options ?? {};
  }

  get listener(): ExchangeListener {
    if (this.#listener === undefined) throw new TypeError('the context has no listener yet');
    return this.#listener;
  }

  set listener(listener: ExchangeListener) {
    this.#listener = listener;
  }

  /** The time of the call being served, as the calendar tells it. */
  get calendarMs(): number {
    return this.environment.calendarMs?.(this.nowMs) ?? this.nowMs;
  }

  emit(effect: IkeEffect): void {
    this.#effects.push(effect);
  }

  /** The effects since the last call. */
  takeEffects(): IkeEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  random(length: number): Uint8Array {
    return this.environment.random(length);
  }

  /** A random number in [0, 1). */
  jitter(): number {
    return new DataView(Uint8Array.from(this.random(4)).buffer).getUint32(0) / 2 ** 32;
  }

  newCookie(): Uint8Array {
    for (;;) {
      const cookie = Uint8Array.from(this.random(8));
      if (!isZeroCookie(cookie)) return cookie;
    }
  }

  /** A message id no exchange of this main mode has used, for one of ours. */
  newMessageId(mainMode: MainMode): number {
    for (;;) {
      const id = new DataView(Uint8Array.from(this.random(4)).buffer).getUint32(0);
      if (id === 0 || mainMode.usedMessageIds.has(id)) continue;
      this.noteMessageId(mainMode, id);
      return id;
    }
  }

  /** From now on no exchange can begin under this id, whoever used it: nothing can be replayed, or reflected to us. */
  noteMessageId(mainMode: MainMode, id: number): void {
    if (id === 0) return;
    mainMode.usedMessageIds.add(id);
    if (mainMode.usedMessageIds.size !== messageIdsKept || !isEstablished(mainMode)) return;
    // Not at once: the exchange that has used this id is under way.
    this.schedule(mainMode, this.nowMs, () => this.listener.mainModeWornOut(mainMode));
  }

  /** SPIs none of our inbound SAs has, reserved until `releaseSpis`. */
  reserveSpis(): OwnSpis {
    this.counters.totalGetSpi++;
    return { esp: this.#reserveSpi(), ah: this.#reserveSpi() };
  }

  #reserveSpi(): Spi {
    for (;;) {
      const spi = new DataView(Uint8Array.from(this.random(4)).buffer).getUint32(0) as Spi;
      if (spi < lowestSpi || this.#reservedSpis.has(spi) || this.pairs.usesInboundSpi(spi)) continue;
      this.#reservedSpis.add(spi);
      return spi;
    }
  }

  releaseSpis({ esp, ah }: OwnSpis): void {
    this.#reservedSpis.delete(esp);
    this.#reservedSpis.delete(ah);
  }

  /** Packets of a pair that has ended are still under way. */
  noteEnded({ inbound }: SaPair): void {
    for (const { spi } of inbound) this.#endedSpis.set(spi, this.nowMs);
    for (const oldest of this.#endedSpis.keys()) {
      if (this.#endedSpis.size <= endedSpisKept) break;
      this.#endedSpis.delete(oldest);
    }
  }

  wasEndedLately(spi: Spi): boolean {
    const endedAtMs = this.#endedSpis.get(spi);
    return endedAtMs !== undefined && this.nowMs - endedAtMs < underWayMs;
  }

  newPairId(): PairId {
    return toHex(this.random(8)) as PairId;
  }

  /** A timer that ends with the main mode. */
  schedule(mainMode: MainMode, atMs: number, run: () => void): Timer {
    const timer = this.timers.schedule(atMs, () => {
      mainMode.timers.delete(timer);
      run();
    });
    mainMode.timers.add(timer);
    return timer;
  }

  /** Sends a message of a main mode to where its peer is now. */
  send(mainMode: MainMode, bytes: Uint8Array, { name, payloads, retransmission = 0 }: SentMessage): void {
    const { local, localPort, peerAddress, peerPort } = mainMode;
    const ends = {
      local: { address: local, port: localPort },
      peer: { address: peerAddress, port: peerPort },
    };
    const pieces = piecesToSend(mainMode, bytes, payloads, retransmission, this.options.vendorProfile);
    for (const piece of pieces) this.emit({ kind: 'send', datagram: { ...ends, bytes: piece } });
    const cut = pieces.length > 1 ? ` in ${pieces.length} fragments` : '';
    const detail = `${summarisePayloads(payloads)}${cut}`;
    this.progress(mainMode.peer, 'sent', name, detail, bytes.length, retransmission);
  }

  progress(
    peer: IpAddress,
    direction: NegotiationStep['direction'],
    message: string,
    detail: string,
    bytes?: number,
    retransmission?: number,
  ): void {
    this.emit({
      kind: 'progress',
      step: {
        atMs: this.nowMs,
        peer,
        direction,
        message,
        detail,
        ...(bytes === undefined ? {} : { bytes }),
        ...(retransmission === undefined ? {} : { retransmission }),
      },
    });
  }

  audit(event: AuditBody): void {
    this.emit({ kind: 'audit', event: { atMs: this.nowMs, ...event } });
  }
}
