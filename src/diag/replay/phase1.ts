/** Phase 1 of a negotiation, in main or aggressive mode: what its messages show of each side, lack and decide. */
import { group } from '../../crypto/algorithms.js';
import type { Certificate } from '../../crypto/certificates/certificate.js';
import { publicValueBytes } from '../../crypto/dh.js';
import type { NegotiationFailure } from '../../ike/api.js';
import { receivedCertificates } from '../../ike/auth/certificates.js';
import { ExchangeError } from '../../ike/exchange-error.js';
import { readTransform } from '../../ike/transform-attributes.js';
import type { MainModeMethod } from '../../policy/model.js';
import { WireError } from '../../wire/bytes.js';
import { parseNameDer } from '../../wire/der/distinguished-name.js';
import { printId } from '../../wire/isakmp/identification.js';
import {
  findPayload,
  findPayloads,
  type IsakmpHeader,
  type LocatedPayload,
  type PayloadChain,
} from '../../wire/isakmp/message.js';
import {
  authenticationMethods,
  exchangeTypes,
  phase1Attributes,
  xauthMethods,
} from '../../wire/isakmp/numbers.js';
import type { IdPayload, Payload, SaPayload } from '../../wire/isakmp/payloads.js';
import type { CapturedDatagram } from './datagrams.js';
import { natOf, printNat, vendorNames } from './facts.js';
import { type MessageRecord, otherRole } from './message-record.js';
import { type Sides, unreadRefusal } from './outcome.js';
import { methodOf, proposalDecision } from './proposals.js';
import type { ProposalDecision, ReplayNegotiation, Role } from './report.js';

/** What phase 1 has shown of a side. */
export interface SideSeen {
  publicValue?: Uint8Array;
  nonce?: Uint8Array;
  id?: LocatedPayload<IdPayload>;
  /** HASH_I or HASH_R, of a preshared key. */
  proof?: Uint8Array;
  /** SIG_I or SIG_R. */
  signature?: Uint8Array;
  /** The leaf first. */
  certificates?: readonly Certificate[];
  /** Why those it sent cannot be read. */
  certificateProblem?: string;
  /** When it proved itself. */
  provedAtSeconds?: number;
  /** CAs it asks for certificates of, by name. */
  readonly authorities: string[];
}

type PayloadKind = Payload['kind'];

const proof: readonly PayloadKind[] = ['hash', 'sig'];

/** What each message must have, one of each list (RFC 2409 5.1, 5.4); with RSA encryption it is otherwise. */
const mustHave: Readonly<Record<string, readonly (readonly PayloadKind[])[]>> = {
  'main mode 3': [['ke'], ['nonce']],
  'main mode 4': [['ke'], ['nonce']],
  'main mode 5': [['id'], proof],
  'main mode 6': [['id'], proof],
  'aggressive mode 1': [['sa'], ['ke'], ['nonce'], ['id']],
  'aggressive mode 2': [['sa'], ['ke'], ['nonce'], ['id'], proof],
  'aggressive mode 3': [proof],
};

const rsaEncryption: readonly number[] = [
  authenticationMethods['RSA encryption'],
  authenticationMethods['RSA revised encryption'],
];
const presharedMethods: readonly number[] = [
  authenticationMethods['pre-shared key'],
  xauthMethods.presharedInitiator,
  xauthMethods.presharedResponder,
];

export class Phase1Replay {
  mode: ReplayNegotiation['mode'] = 'unknown';
  readonly initiatorCookie: Uint8Array;
  responderCookie: Uint8Array;
  offer?: LocatedPayload<SaPayload>;
  answer?: SaPayload;
  /** What was agreed, where all of it is known here. */
  method?: MainModeMethod;
  nat?: { readonly initiator: boolean; readonly responder: boolean };
  readonly sides: Readonly<Record<Role, SideSeen>> = {
    initiator: { authorities: [] },
    responder: { authorities: [] },
  };
  readonly vendors: Readonly<Record<Role, string[]>> = { initiator: [], responder: [] };
  /** Its last message has been seen, and was no nonsense. */
  established = false;
  readonly #endpoints: Sides;
  #failure: NegotiationFailure | undefined;
  /** What follows unless phase 1 goes on all the same. */
  #suspected: NegotiationFailure | undefined;
  /** Name of the last message of each side. */
  readonly #last: Record<Role, string> = { initiator: 'nothing', responder: 'nothing' };

  constructor(cookies: Pick<IsakmpHeader, 'initiatorCookie' | 'responderCookie'>, endpoints: Sides) {
    this.initiatorCookie = cookies.initiatorCookie.slice();
    this.responderCookie = cookies.responderCookie.slice();
    this.#endpoints = endpoints;
  }

  /** Takes a message; `hasKey` when there was a key to read it with. */
  take(
    message: MessageRecord,
    { exchangeType }: IsakmpHeader,
    datagram: CapturedDatagram,
    chain: PayloadChain | undefined,
    hasKey: boolean,
  ): void {
    this.mode = exchangeType === exchangeTypes['Main mode'] ? 'main' : 'aggressive';
    const number = this.#numberOf(message, chain);
    message.name = `${this.mode} mode${number === undefined ? '' : ` ${number}`}`;
    this.#last[message.from] = message.name;
    const isLast = number === (this.mode === 'main' ? 6 : 3);
    if (chain === undefined) {
      if (message.encrypted && hasKey) {
        message.decisions.push('the key at hand does not read it: the other side has another key');
        if (this.isPreshared) this.refuse(this.#unread(message, hasKey));
      } else if (isLast && message.encrypted) this.established = true;
      return;
    }
    addNew(this.vendors[message.from], vendorNames(chain));
    this.#look(message, datagram, chain);
    this.#proposals(message, chain);
    this.#detectNat(message, chain, datagram);
    this.#lacks(message, chain);
    this.#keyExchangeFits(message);
    if (isLast) this.established = true;
  }

  /** A failure that is certain; the first one counts. */
  refuse(failure: NegotiationFailure): void {
    this.#failure ??= failure;
  }

  /** A notification that nobody can read came where the next message should have. */
  takeUnreadNotification(message: MessageRecord, hasKey: boolean): void {
    const refused = this.#last[otherRole[message.from]];
    if (this.established || !/^(main mode 5|aggressive mode 2)$/.test(refused)) return;
    message.decisions.push(`comes instead of an answer to ${refused}: a refusal`);
    this.#suspected ??= this.#unread(message, hasKey);
  }

  #unread({ from }: MessageRecord, hasKey: boolean): NegotiationFailure {
    const message = this.#last[otherRole[from]];
    return unreadRefusal(this.#endpoints, { by: from, message, preshared: this.isPreshared, hasKey });
  }

  get failure(): NegotiationFailure | undefined {
    return this.#failure ?? (this.established ? undefined : this.#suspected);
  }

  get isPreshared(): boolean {
    return presharedMethods.includes(this.#authentication);
  }

  /** Whether the initiator speaks XAUTH: its methods share their numbers with those of Kerberos. */
  get speaksXauth(): boolean {
    return this.vendors.initiator.includes('XAUTH');
  }

  /** Whether XAUTH was agreed on. */
  get wantsUser(): boolean {
    return this.speaksXauth && Object.values(xauthMethods).some(id => id === this.#authentication);
  }

  get proposals(): ProposalDecision | undefined {
    return this.offer && proposalDecision(this.offer.payload, this.answer, this.speaksXauth);
  }

  /** Of the answer, else of the first thing offered. */
  get #authentication(): number {
    const transform = (this.answer ?? this.offer?.payload)?.proposals[0]?.transforms[0];
    return (
      readTransform(1, transform?.attributes ?? []).values.get(phase1Attributes.authentication) ?? Number.NaN
    );
  }

  #numberOf({ from, encrypted }: MessageRecord, chain: PayloadChain | undefined): number | undefined {
    const isInitiator = from === 'initiator';
    const has = (kind: 'sa' | 'ke') => chain !== undefined && findPayload(chain, kind) !== undefined;
    if (has('sa')) return isInitiator ? 1 : 2;
    if (this.mode === 'aggressive') return isInitiator ? 3 : undefined;
    if (encrypted) return isInitiator ? 5 : 6;
    return has('ke') ? (isInitiator ? 3 : 4) : undefined;
  }

  /** Keeps what the message shows of its sender. */
  #look(message: MessageRecord, { atSeconds }: CapturedDatagram, chain: PayloadChain): void {
    const side = this.sides[message.from];
    const id = findPayload(chain, 'id');
    const ke = findPayload(chain, 'ke')?.payload.data;
    const nonce = findPayload(chain, 'nonce')?.payload.data;
    const hash = findPayload(chain, 'hash')?.payload.data;
    const signature = findPayload(chain, 'sig')?.payload.data;
    if (id !== undefined) side.id = id;
    if (ke !== undefined) side.publicValue = ke;
    if (nonce !== undefined) side.nonce = nonce;
    if (hash !== undefined) side.proof = hash;
    if (signature !== undefined) side.signature = signature;
    if (hash !== undefined || signature !== undefined) side.provedAtSeconds = atSeconds;
    if (id !== undefined) message.decisions.push(`says it is ${printId(id.payload)}`);
    const asked = findPayloads(chain, 'certreq').map(({ payload }) => authorityName(payload.authority));
    for (const name of asked) message.decisions.push(`asks for a certificate${name && ` under ${name}`}`);
    addNew(
      side.authorities,
      asked.filter(name => name !== ''),
    );
    try {
      const { certificates } = receivedCertificates(chain);
      if (certificates.length > 0) side.certificates = certificates;
    } catch (error) {
      if (!(error instanceof ExchangeError)) throw error;
      side.certificateProblem = error.message;
    }
  }

  #proposals(message: MessageRecord, chain: PayloadChain): void {
    const sa = findPayload(chain, 'sa');
    if (sa === undefined) return;
    if (message.from === 'initiator') {
      this.offer = sa;
      return;
    }
    this.answer = sa.payload;
    const method = methodOf(sa.payload);
    if (method !== undefined) this.method = method;
    if (this.offer === undefined) return;
    const { chosen, notChosen } = proposalDecision(this.offer.payload, sa.payload, this.speaksXauth);
    if (chosen !== undefined)
      message.decisions.push(
        `chosen: proposal ${chosen.proposal} transform ${chosen.transform}: ${chosen.text}`,
      );
    if (notChosen.length > 0) message.decisions.push(`offered and not chosen: ${notChosen.length}`);
  }

  #detectNat(message: MessageRecord, chain: PayloadChain, datagram: CapturedDatagram): void {
    const found = this.method && natOf(chain, this.method.hash, this, datagram);
    if (found === undefined) return;
    const other = otherRole[message.from];
    const before = this.nat ?? { initiator: false, responder: false };
    this.nat = {
      ...before,
      [message.from]: before[message.from] || found.source,
      [other]: before[other] || found.destination,
    };
    message.decisions.push(printNat(this.nat));
  }

  #lacks(message: MessageRecord, chain: PayloadChain): void {
    if (rsaEncryption.includes(this.#authentication)) return;
    const lacking = (mustHave[message.name] ?? []).filter(
      kinds => !kinds.some(kind => findPayload(chain, kind) !== undefined),
    );
    if (lacking.length === 0) return;
    const names = lacking.map(kinds => kinds.join(' or ').toUpperCase()).join(', ');
    message.decisions.push(`lacks ${names}: the other side cannot accept it`);
  }

  /** In aggressive mode the initiator computes its value before it knows which group is chosen. */
  #keyExchangeFits(message: MessageRecord): void {
    const { method, sides } = this;
    if (method === undefined || message.from === 'initiator') return;
    const expected = publicValueBytes(method.group);
    for (const side of ['initiator', 'responder'] as const) {
      const length = sides[side].publicValue?.length;
      if (length !== undefined && length !== expected)
        message.decisions.push(
          `the KE of the ${side} has ${length} bytes; ${group(method.group).name}, which was chosen, takes ${expected}`,
        );
    }
  }
}

/** Names of one kind that are kept of a side; a side can repeat phase 1 as often as it likes. */
const mostNames = 200;

function addNew(list: string[], names: readonly string[]): void {
  for (const name of names) if (list.length < mostNames && !list.includes(name)) list.push(name);
}

/** The name in a certificate request; empty where it leaves the choice to the other side. */
function authorityName(der: Uint8Array): string {
  if (der.length === 0) return '';
  try {
    return parseNameDer(der).text;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return 'a name that cannot be read';
  }
}
