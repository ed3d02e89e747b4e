/** One quick mode exchange (phase 2), the SA pairs it made, and the table of all pairs. */
import type { DhKeyPair } from '../crypto/dh.js';
import type { Endpoint, PairId, SaPair, Spi } from '../driver/api.js';
import type { SecurityMethod } from '../policy/model.js';
import type { IpAddress } from '../wire/ip/address.js';
import { selectorsEqual } from '../wire/ip/selector.js';
import type { MainModePolicy, QuickModePolicy } from './api.js';
import type { QuickModeOffer } from './quick-mode-proposal.js';
import { DuplicateFilter, type Retransmission } from './retransmission.js';
import type { Timer } from './timers.js';

/** Where a quick mode stands, named by the message it waits for. */
export type QuickModeState =
  | {
      readonly stage: 'awaiting 2';
      readonly offer: QuickModeOffer;
      readonly spis: OwnSpis;
      readonly nonce: Uint8Array;
      readonly own?: DhKeyPair;
    }
  | {
      readonly stage: 'awaiting 3';
      readonly pairId: PairId;
      readonly nonces: Nonces;
      /** The initiator set the commit bit, or is Windows: it gets the fourth message. */
      readonly sendConnected: boolean;
    }
  /** The initiator's outbound SA waits for CONNECTED, inbound traffic, or some time to pass. */
  | { readonly stage: 'awaiting 4'; readonly pairId: PairId }
  /** Remembered so that a repeated message is answered. */
  | { readonly stage: 'done'; readonly pairId: PairId }
  | { readonly stage: 'failed' };

/** A quick mode's state at one stage. */
export type StateAt<Stage extends QuickModeState['stage']> = Extract<QuickModeState, { stage: Stage }>;

/** The SPIs we chose for our inbound SAs. */
export interface OwnSpis {
  readonly esp: Spi;
  readonly ah: Spi;
}

export interface Nonces {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

export interface QuickMode {
  readonly role: 'initiator' | 'responder';
  readonly messageId: number;
  readonly policy: QuickModePolicy;
  state: QuickModeState;
  /** IV of the next message of this exchange, in either direction. */
  iv: Uint8Array;
  request?: Retransmission;
  readonly duplicates: DuplicateFilter;
  timer?: Timer;
}

export function newQuickMode(
  fields: Pick<QuickMode, 'role' | 'messageId' | 'policy' | 'state' | 'iv'>,
): QuickMode {
  return { ...fields, duplicates: new DuplicateFilter() };
}

/** A pair of SAs that exists in the driver. */
export interface PairRecord {
  readonly pair: SaPair;
  /** The peer as its main modes know it; `pair.peer` is where it was last seen. */
  readonly peer: IpAddress;
  readonly role: 'initiator' | 'responder';
  readonly method: SecurityMethod;
  readonly policy: QuickModePolicy;
  /** What the main mode that protected its negotiation was negotiated under; that one may be gone. */
  readonly mainModePolicy: MainModePolicy;
  readonly establishedAtMs: number;
  readonly peerIdentity: string;
  /** Where encapsulated packets of the peer come from, as far as is known: it tells apart the clients behind one NAT. */
  seenAt?: Endpoint;
  /** Both sides use it; before that only its inbound SAs are installed. */
  active: boolean;
  /** While something is still awaited: the peer has shown that it has the keys. */
  confirm?: () => void;
  /** Of what is known of its traffic without asking the driver. */
  usedAtMs: number;
  /** When it is looked at next, for whether it is in use. */
  idle?: Timer;
  /** Its removal is scheduled: a newer pair has replaced it. */
  removal?: Timer;
  /** Why it is gone. */
  ended?: string;
}

/** All pairs, found by id, by peer and by SPI. */
export class PairTable {
  readonly #byId = new Map<PairId, PairRecord>();
  readonly #byPeer = new Map<IpAddress, Set<PairRecord>>();
  readonly #inboundSpis = new Set<Spi>();

  get size(): number {
    return this.#byId.size;
  }

  add(record: PairRecord): void {
    this.#byId.set(record.pair.id, record);
    for (const half of record.pair.inbound) this.#inboundSpis.add(half.spi);
    const ofPeer = this.#byPeer.get(record.peer) ?? new Set();
    this.#byPeer.set(record.peer, ofPeer.add(record));
  }

  remove(record: PairRecord): void {
    this.#byId.delete(record.pair.id);
    for (const half of record.pair.inbound) this.#inboundSpis.delete(half.spi);
    const ofPeer = this.#byPeer.get(record.peer);
    ofPeer?.delete(record);
    if (ofPeer?.size === 0) this.#byPeer.delete(record.peer);
  }

  /** It is in use from now on: the newest of its peer. */
  setActive(record: PairRecord): void {
    record.active = true;
    const ofPeer = this.#byPeer.get(record.peer);
    ofPeer?.delete(record);
    ofPeer?.add(record);
  }

  get(id: PairId): PairRecord | undefined {
    return this.#byId.get(id);
  }

  /** In the order they came into use. */
  ofPeer(peer: IpAddress): PairRecord[] {
    return [...(this.#byPeer.get(peer) ?? [])];
  }

  all(): PairRecord[] {
    return [...this.#byId.values()];
  }

  usesInboundSpi(spi: Spi): boolean {
    return this.#inboundSpis.has(spi);
  }

  /** The pair of our own quick mode that replaces this one and still waits for the peer to be ready. */
  successorOf(record: PairRecord): PairRecord | undefined {
    return this.ofPeer(record.peer).find(
      other => !other.active && other.role === 'initiator' && carrySame(other, record),
    );
  }

  /** The newest pair both sides use for exactly the traffic of this one. */
  newest(record: PairRecord): PairRecord | undefined {
    return this.ofPeer(record.peer).findLast(other => other.active && carrySame(other, record));
  }
}

/** Whether two pairs with one peer are for the same traffic, of the same client if there are several behind its address. */
function carrySame(a: PairRecord, b: PairRecord): boolean {
  return (
    a.pair.mode === b.pair.mode &&
    selectorsEqual(a.pair.selector, b.pair.selector) &&
    a.seenAt?.port === b.seenAt?.port
  );
}
