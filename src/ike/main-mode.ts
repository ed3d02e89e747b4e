/** One ISAKMP SA (main mode, phase 1) from its first message to its end, and the table of all of them. */
import type { CertificateVerdict } from '../crypto/certificates/chain.js';
import type { DhKeyPair } from '../crypto/dh.js';
import type { MainModeMethod } from '../policy/model.js';
import { toHex } from '../wire/bytes.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { LocatedPayload } from '../wire/isakmp/message.js';
import type { IdPayload, Payload } from '../wire/isakmp/payloads.js';
import type { MainModePolicy, NegotiationFailure } from './api.js';
import type { AuthenticationOffer } from './auth/offers.js';
import { type FetchedRevocation, nothingFetched } from './auth/revocation.js';
import type { ClientSession } from './client-session.js';
import { FragmentQueues } from './fragments.js';
import type { MessageKeys } from './protection.js';
import type { QuickMode } from './quick-mode.js';
import { DuplicateFilter, type Retransmission } from './retransmission.js';
import type { Timer } from './timers.js';
import { noVendors, type PeerVendors } from './vendors.js';

/** What message 2 settled. */
export interface MainModeChoice {
  readonly method: MainModeMethod;
  readonly authentication: AuthenticationOffer;
  readonly lifetimeSeconds: number;
  /** What the initiator offered. */
  readonly offeredSeconds?: number;
}

/** Which ways of a policy count: all, unless the exchange is narrower. */
export type CandidateFilter = (candidate: Pick<MainModeChoice, 'method' | 'authentication'>) => boolean;

/** Everything main mode derives. */
export interface MainModeKeys extends MessageKeys {
  /** Authenticates the peers. */
  readonly skeyid: Uint8Array;
  /** Derives the keys of quick mode. */
  readonly derivationKey: Uint8Array;
}

/** The exchange that makes an ISAKMP SA. Aggressive mode (RFC 2409 5.4) has three messages instead of six. */
export type Phase1Exchange = 'main' | 'aggressive';

/** Where a main mode stands, named by the message it waits for. The even ones are an initiator's. */
export type MainModeState =
  | { readonly stage: 'awaiting 2'; readonly saBody: Uint8Array; readonly payloads: readonly Payload[] }
  | { readonly stage: 'awaiting 3'; readonly saBody: Uint8Array; readonly choice: MainModeChoice }
  | {
      readonly stage: 'awaiting 4';
      readonly saBody: Uint8Array;
      readonly choice: MainModeChoice;
      readonly own: DhKeyPair;
      readonly nonce: Uint8Array;
    }
  | {
      readonly stage: 'awaiting 5';
      readonly saBody: Uint8Array;
      readonly choice: MainModeChoice;
      readonly values: ExchangedValues;
      readonly keys: MainModeKeys;
      readonly iv: Uint8Array;
    }
  | {
      readonly stage: 'awaiting 6';
      readonly saBody: Uint8Array;
      readonly choice: MainModeChoice;
      readonly values: ExchangedValues;
      readonly keys: MainModeKeys;
      readonly iv: Uint8Array;
    }
  | {
      readonly stage: 'awaiting aggressive 2';
      readonly saBody: Uint8Array;
      /** What message 1 offered: all of one group, and of ways to authenticate that go with its identity. */
      readonly offer: CandidateFilter;
      readonly own: DhKeyPair;
      readonly nonce: Uint8Array;
      readonly identity: IdPayload;
    }
  | {
      readonly stage: 'awaiting aggressive 3';
      readonly saBody: Uint8Array;
      readonly choice: MainModeChoice;
      readonly values: ExchangedValues;
      readonly keys: MainModeKeys;
      readonly iv: Uint8Array;
      /** From message 1, as it was on the wire. */
      readonly peerId: LocatedPayload<IdPayload>;
    }
  | {
      readonly stage: 'established';
      readonly choice: MainModeChoice;
      readonly keys: MainModeKeys;
      /** Last cipher block of phase 1. */
      readonly lastBlock: Uint8Array;
      readonly peerIdentity: string;
      readonly establishedAtMs: number;
      readonly expiresAtMs: number;
    }
  | { readonly stage: 'closed' };

/** A main mode's state at one stage. */
export type StateAt<Stage extends MainModeState['stage']> = Extract<MainModeState, { stage: Stage }>;

/** Public values, as they were on the wire. */
export interface ExchangedValues {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/**
 * Something unauthenticated that speaks against an exchange: it changes nothing by itself, but is the likely
 * reason when the exchange fails.
 */
export interface Complaint {
  readonly failure: NegotiationFailure;
  /** Transmissions of our request when it was first seen. */
  readonly transmissions: number;
}

export interface MainMode {
  readonly exchange: Phase1Exchange;
  readonly role: 'initiator' | 'responder';
  readonly local: IpAddress;
  readonly peer: IpAddress;
  /** Where its messages go; moves to port 4500, and follows a peer behind NAT. */
  localPort: number;
  peerAddress: IpAddress;
  peerPort: number;
  readonly initiatorCookie: Uint8Array;
  responderCookie: Uint8Array;
  readonly policy: MainModePolicy;
  readonly startedAtMs: number;
  state: MainModeState;
  vendors: PeerVendors;
  nat: { readonly local: boolean; readonly peer: boolean };
  /** Our request under way (initiator). */
  request?: Retransmission;
  readonly duplicates: DuplicateFilter;
  /** Responder cookies that message 1 has been repeated with, because the peer asked for it. */
  readonly dosCookies: Set<string>;
  complaint?: Complaint;
  /** What ICMP last said of our messages to it. */
  undelivered?: { readonly text: string; readonly atMs: number };
  /** DER Names of the CAs under which the peer wants our certificate. */
  readonly requestedAuthorities: Uint8Array[];
  /** It asked for certificates in PKCS#7. */
  wantsPkcs7: boolean;
  /** Who the peer is, once it has proved that. */
  peerId?: IdPayload;
  /** What was found of the peer's certificate. */
  peerVerdict?: CertificateVerdict;
  /** Revocation lists fetched to judge it. */
  readonly revocation: FetchedRevocation;
  /** Whoever watches has its key. */
  keysExported?: boolean;
  /** The peer said it has no other SA with us; believed once authenticated. */
  initialContact: boolean;
  /** We said so to the peer. */
  saidFirstContact: boolean;
  /** Replaced by a newer one, or at its quick mode limit: makes no new quick modes. */
  retired: boolean;
  readonly quickModes: Map<number, QuickMode>;
  quickModesMade: number;
  /** Message ids of all exchanges under it, the peer's and our own. */
  readonly usedMessageIds: Set<number>;
  /** When the last authenticated message arrived. */
  lastInboundAtMs: number;
  /** Microsoft's reliable deletes under way, by message id. */
  readonly pendingDeletes: Map<number, Retransmission>;
  /** As client of a gateway: what comes between main mode and the first quick mode. */
  client?: ClientSession;
  /** Messages that arrive in fragments. */
  readonly fragments: FragmentQueues;
  /** The peer has sent fragments. */
  peerFragments: boolean;
  readonly timers: Set<Timer>;
}

/** Message ids of one main mode are all remembered; one that has used so many ends, before any could be used twice. */
export const messageIdsKept = 16_384;

const zeroCookie = new Uint8Array(8);

export function newMainMode(
  fields: Pick<
    MainMode,
    | 'role'
    | 'local'
    | 'peer'
    | 'localPort'
    | 'peerPort'
    | 'initiatorCookie'
    | 'responderCookie'
    | 'policy'
    | 'startedAtMs'
    | 'state'
  > &
    Partial<Pick<MainMode, 'exchange'>>,
): MainMode {
  return {
    exchange: 'main',
    ...fields,
    peerAddress: fields.peer,
    vendors: noVendors,
    nat: { local: false, peer: false },
    duplicates: new DuplicateFilter(),
    initialContact: false,
    saidFirstContact: false,
    requestedAuthorities: [],
    wantsPkcs7: false,
    revocation: nothingFetched(),
    retired: false,
    quickModes: new Map(),
    quickModesMade: 0,
    usedMessageIds: new Set(),
    dosCookies: new Set(),
    lastInboundAtMs: fields.startedAtMs,
    pendingDeletes: new Map(),
    fragments: new FragmentQueues(),
    peerFragments: false,
    timers: new Set(),
  };
}

/** An established main mode: its state is known. */
export type EstablishedMainMode = MainMode & { state: Extract<MainModeState, { stage: 'established' }> };

export function isEstablished(mainMode: MainMode): mainMode is EstablishedMainMode {
  return mainMode.state.stage === 'established';
}

/** Whether quick modes can begin: it is established, and the gateway has nothing more to settle before. */
export function isReady(mainMode: MainMode): mainMode is EstablishedMainMode {
  return isEstablished(mainMode) && (mainMode.client === undefined || mainMode.client.stage === 'done');
}

/** Whether the cookie is the zero that stands for "none yet". */
export function isZeroCookie(cookie: Uint8Array): boolean {
  return cookie.every(byte => byte === 0);
}

/** All main modes, found by cookies or by peer. */
export class MainModeTable {
  readonly #byCookies = new Map<string, MainMode>();
  readonly #responders = new Map<string, MainMode>();
  readonly #byPeer = new Map<IpAddress, Set<MainMode>>();
  /** A responder's unfinished ones, oldest first. */
  readonly #halfOpen = new Set<MainMode>();
  /** Those of `#halfOpen` of which there is only a first message: its sender's address may be forged. */
  readonly #begun = new Set<MainMode>();

  get size(): number {
    return this.#byCookies.size;
  }

  get halfOpenCount(): number {
    return this.#halfOpen.size;
  }

  /** What costs least to lose: the oldest that only holds a first message, else the oldest of all. */
  cheapestHalfOpen(): MainMode | undefined {
    for (const oldest of this.#begun) return oldest;
    for (const oldest of this.#halfOpen) return oldest;
    return undefined;
  }

  /** Half-open ones of one peer, cheapest to lose first. */
  halfOpenOf(peer: IpAddress): MainMode[] {
    const ofPeer = [...(this.#byPeer.get(peer) ?? [])].filter(mainMode => this.#halfOpen.has(mainMode));
    const begun = ofPeer.filter(mainMode => this.#begun.has(mainMode));
    return [...begun, ...ofPeer.filter(mainMode => !this.#begun.has(mainMode))];
  }

  /** The peer receives what we send to its address, and we have computed for it. */
  setReturned(mainMode: MainMode): void {
    this.#begun.delete(mainMode);
  }

  /** The peer has authenticated: it no longer counts as half-open. */
  setEstablished(mainMode: MainMode): void {
    this.#halfOpen.delete(mainMode);
    this.#begun.delete(mainMode);
  }

  add(mainMode: MainMode): void {
    this.#byCookies.set(cookieKey(mainMode.initiatorCookie, mainMode.responderCookie), mainMode);
    if (mainMode.role === 'responder') {
      this.#responders.set(responderKey(mainMode.peer, mainMode.initiatorCookie), mainMode);
      this.#halfOpen.add(mainMode);
      this.#begun.add(mainMode);
    }
    const ofPeer = this.#byPeer.get(mainMode.peer) ?? new Set();
    this.#byPeer.set(mainMode.peer, ofPeer.add(mainMode));
  }

  remove(mainMode: MainMode): void {
    this.#halfOpen.delete(mainMode);
    this.#begun.delete(mainMode);
    this.#byCookies.delete(cookieKey(mainMode.initiatorCookie, mainMode.responderCookie));
    if (mainMode.role === 'responder')
      this.#responders.delete(responderKey(mainMode.peer, mainMode.initiatorCookie));
    const ofPeer = this.#byPeer.get(mainMode.peer);
    ofPeer?.delete(mainMode);
    if (ofPeer?.size === 0) this.#byPeer.delete(mainMode.peer);
  }

  /** The peer has chosen its cookie. */
  setResponderCookie(mainMode: MainMode, cookie: Uint8Array): void {
    this.#byCookies.delete(cookieKey(mainMode.initiatorCookie, mainMode.responderCookie));
    mainMode.responderCookie = cookie;
    this.#byCookies.set(cookieKey(mainMode.initiatorCookie, cookie), mainMode);
  }

  byCookies(initiatorCookie: Uint8Array, responderCookie: Uint8Array): MainMode | undefined {
    return this.#byCookies.get(cookieKey(initiatorCookie, responderCookie));
  }

  /** Our own attempt that still waits for the peer's first word. */
  awaitingPeer(initiatorCookie: Uint8Array): MainMode | undefined {
    return this.byCookies(initiatorCookie, zeroCookie);
  }

  /** The attempt a repeated first message belongs to. */
  byFirstMessage(peer: IpAddress, initiatorCookie: Uint8Array): MainMode | undefined {
    return this.#responders.get(responderKey(peer, initiatorCookie));
  }

  ofPeer(peer: IpAddress): MainMode[] {
    return [...(this.#byPeer.get(peer) ?? [])];
  }

  /** Oldest first. */
  all(): MainMode[] {
    return [...this.#byCookies.values()];
  }
}

function cookieKey(initiatorCookie: Uint8Array, responderCookie: Uint8Array): string {
  return toHex(initiatorCookie) + toHex(responderCookie);
}

function responderKey(peer: IpAddress, initiatorCookie: Uint8Array): string {
  return `${peer} ${toHex(initiatorCookie)}`;
}
