/** One negotiation of a capture, message by message: everything under one initiator cookie. */
import type { NegotiationFailure } from '../../ike/api.js';
import { FragmentQueues } from '../../ike/fragments.js';
import { isZeroCookie } from '../../ike/main-mode.js';
import { readTransform } from '../../ike/transform-attributes.js';
import type { MainModeMethod } from '../../policy/model.js';
import { toHex, WireError } from '../../wire/bytes.js';
import { payloadLines, summarisePayloads } from '../../wire/isakmp/describe.js';
import { printId } from '../../wire/isakmp/identification.js';
import {
  decodeHeader,
  decodePayloads,
  findPayload,
  findPayloads,
  headerLength,
  type IsakmpHeader,
  type LocatedPayload,
  type PayloadChain,
} from '../../wire/isakmp/message.js';
import {
  authenticationMethods,
  exchangeTypes,
  headerFlags,
  isErrorNotify,
  nameOf,
  phase1Attributes,
} from '../../wire/isakmp/numbers.js';
import type { IdPayload, SaPayload } from '../../wire/isakmp/payloads.js';
import type { CapturedDatagram } from './datagrams.js';
import { Decryption } from './decryption.js';
import { announcements, natOf, printNat, vendorNames } from './facts.js';
import { refusal, silence, unreadableAnswer } from './outcome.js';
import { methodOf, proposalDecision } from './proposals.js';
import { QuickModeReplay } from './quick-mode.js';
import type { ProtectedFlow, ReplayEndpoint, ReplayMessage, ReplayNegotiation, Role } from './report.js';

type Message = Omit<
  { -readonly [K in keyof ReplayMessage]: ReplayMessage[K] },
  'decisions' | 'retransmissions'
> & {
  readonly decisions: string[];
  readonly retransmissions: { packet: number; atSeconds: number }[];
};

/** What phase 1 has shown of a side. */
export interface SideSeen {
  publicValue?: Uint8Array;
  nonce?: Uint8Array;
  id?: LocatedPayload<IdPayload>;
  /** HASH_I or HASH_R. */
  proof?: Uint8Array;
}

/** What phase 1 has shown: with it proofs can be checked and policies be asked. */
export interface Phase1Seen {
  readonly initiatorCookie: Uint8Array;
  responderCookie: Uint8Array;
  offer?: LocatedPayload<SaPayload>;
  answer?: SaPayload;
  method?: MainModeMethod;
  readonly sides: Readonly<Record<Role, SideSeen>>;
}

const otherRole: Readonly<Record<Role, Role>> = { initiator: 'responder', responder: 'initiator' };

export class NegotiationReplay {
  readonly initiator: ReplayEndpoint;
  readonly responder: ReplayEndpoint;
  readonly phase1: Phase1Seen;
  readonly quickModes = new Map<number, QuickModeReplay>();
  nat: { initiator: boolean; responder: boolean } | undefined;
  readonly #key: Uint8Array | undefined;
  readonly #beginsAtSeconds: number;
  readonly #messages: Message[] = [];
  readonly #byBytes = new Map<
    string,
    { readonly message: Message; readonly quickMode?: [QuickModeReplay, number] }
  >();
  readonly #fragments = new FragmentQueues();
  readonly #vendors: Record<Role, string[]> = { initiator: [], responder: [] };
  #mode: ReplayNegotiation['mode'] = 'unknown';
  #decryption: Decryption | undefined;
  #failure: NegotiationFailure | undefined;
  #established = false;

  /** `key` decrypts, if it is known. The first message tells who begins. */
  constructor(first: CapturedDatagram, header: IsakmpHeader, key: Uint8Array | undefined) {
    this.initiator = first.source;
    this.responder = first.destination;
    this.#beginsAtSeconds = first.atSeconds;
    this.#key = key;
    this.phase1 = {
      initiatorCookie: header.initiatorCookie.slice(),
      responderCookie: header.responderCookie.slice(),
      sides: { initiator: {}, responder: {} },
    };
  }

  /** Takes a message. What cannot be read is recorded as such. Returns its record, or that of the one it repeats. */
  add(datagram: CapturedDatagram, header: IsakmpHeader, bytes = datagram.bytes, pieces = 0): ReplayMessage {
    const from = this.#roleOf(datagram);
    const key = `${from} ${toHex(bytes)}`;
    const known = this.#byBytes.get(key);
    if (known !== undefined) {
      known.message.retransmissions.push({ packet: datagram.packet, atSeconds: datagram.atSeconds });
      known.quickMode?.[0].repeated(known.quickMode[1], datagram.atSeconds);
      return known.message;
    }
    if (!isZeroCookie(header.responderCookie)) this.phase1.responderCookie = header.responderCookie.slice();
    const encrypted = (header.flags & headerFlags.ENCRYPTED) !== 0;
    const message: Message = {
      packet: datagram.packet,
      atSeconds: datagram.atSeconds,
      from,
      source: datagram.source,
      destination: datagram.destination,
      name: nameOf(exchangeTypes, header.exchangeType).toLowerCase(),
      messageId: header.messageId.toString(16).padStart(8, '0'),
      bytes: header.length,
      encrypted,
      fields: [],
      decisions: pieces === 0 ? [] : [`put together from ${pieces} fragments`],
      retransmissions: [],
    };
    this.#messages.push(message);
    const chain = this.#open(message, header, bytes);
    if (chain !== undefined) {
      message.payloads = summarisePayloads(chain.payloads.map(({ payload }) => payload));
      message.fields = payloadLines(chain.payloads.map(({ payload }) => payload));
    }
    const quickMode = this.#take(message, header, datagram, chain);
    this.#byBytes.set(key, { message, ...(quickMode === undefined ? {} : { quickMode }) });
    return message;
  }

  #roleOf({ source, destination }: CapturedDatagram): Role {
    const { initiator, responder } = this;
    if (initiator.address === responder.address)
      return source.port === initiator.port && destination.port !== initiator.port
        ? 'initiator'
        : 'responder';
    return source.address === initiator.address ? 'initiator' : 'responder';
  }

  #open(message: Message, header: IsakmpHeader, bytes: Uint8Array): PayloadChain | undefined {
    try {
      if (!message.encrypted)
        return decodePayloads(bytes.subarray(headerLength, header.length), header.nextPayload);
      if (this.#decryption !== undefined) return this.#decryption.open(header, bytes);
      message.problem =
        this.#key === undefined
          ? 'encrypted, and no key at hand'
          : 'encrypted, and the messages that its decryption builds on are not in the capture';
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      message.problem = error.message;
    }
    return undefined;
  }

  #take(
    message: Message,
    header: IsakmpHeader,
    datagram: CapturedDatagram,
    chain: PayloadChain | undefined,
  ): [QuickModeReplay, number] | undefined {
    const fragment = chain && findPayload(chain, 'fragment')?.payload;
    if (chain !== undefined && fragment !== undefined) {
      message.name = `fragment ${fragment.number} of a message`;
      this.#addFragment(message, datagram, header, chain);
      return undefined;
    }
    switch (header.exchangeType) {
      case exchangeTypes['Main mode']:
      case exchangeTypes['Aggressive mode']:
        this.#phase1Message(message, header, datagram, chain);
        break;
      case exchangeTypes['Quick mode']:
        return this.#quickModeMessage(message, header, datagram, chain);
      case exchangeTypes.Informational:
        this.#informational(message, chain);
        break;
      default:
        if (chain !== undefined) message.decisions.push(...announcements(chain));
    }
    return undefined;
  }

  #addFragment(
    message: Message,
    datagram: CapturedDatagram,
    header: IsakmpHeader,
    chain: PayloadChain,
  ): void {
    const piece = findPayload(chain, 'fragment')?.payload;
    if (piece === undefined) return;
    const exchange = `${message.from} ${header.exchangeType} ${header.messageId}`;
    const whole = this.#fragments.add(exchange, piece, datagram.atSeconds * 1000);
    if (whole === undefined) return;
    try {
      this.add(datagram, decodeHeader(whole), whole, piece.number);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      message.problem = `the fragments make no message: ${error.message}`;
    }
  }

  #phase1Message(
    message: Message,
    header: IsakmpHeader,
    datagram: CapturedDatagram,
    chain: PayloadChain | undefined,
  ): void {
    this.#mode = header.exchangeType === exchangeTypes['Main mode'] ? 'main' : 'aggressive';
    const { from } = message;
    const isInitiator = from === 'initiator';
    const number = this.#phase1Number(message, chain);
    message.name = `${this.#mode} mode${number === undefined ? '' : ` ${number}`}`;
    const finished = this.#mode === 'main' ? 6 : 3;
    if (chain === undefined) {
      if (message.encrypted && this.#decryption !== undefined) {
        message.decisions.push(`the key at hand does not read it: the other side has another key`);
        if (this.#isPreshared())
          this.#failure ??= unreadableAnswer(this, from, this.#lastOf(otherRole[from]));
      } else if (number === finished && message.encrypted) this.#established = true;
      return;
    }
    message.decisions.push(...announcements(chain));
    this.#vendors[from].push(...vendorNames(chain));
    const side = this.phase1.sides[from];
    const ke = findPayload(chain, 'ke')?.payload.data;
    const nonce = findPayload(chain, 'nonce')?.payload.data;
    if (ke !== undefined) side.publicValue = ke;
    if (nonce !== undefined) side.nonce = nonce;
    const id = findPayload(chain, 'id');
    if (id !== undefined) side.id = id;
    const proof = findPayload(chain, 'hash')?.payload.data;
    if (proof !== undefined) side.proof = proof;
    if (id !== undefined) message.decisions.push(`says it is ${printId(id.payload)}`);
    const sa = findPayload(chain, 'sa');
    if (sa !== undefined && isInitiator) this.phase1.offer = sa;
    if (sa !== undefined && !isInitiator) this.#answered(message, sa.payload);
    this.#detectNat(message, chain, datagram);
    this.#prepareDecryption();
    if (number === finished) this.#established = true;
  }

  #phase1Number(message: Message, chain: PayloadChain | undefined): number | undefined {
    const isInitiator = message.from === 'initiator';
    const has = (kind: 'sa' | 'ke') => chain !== undefined && findPayload(chain, kind) !== undefined;
    if (has('sa')) return isInitiator ? 1 : 2;
    if (this.#mode === 'aggressive') return isInitiator ? 3 : undefined;
    if (message.encrypted) return isInitiator ? 5 : 6;
    return has('ke') ? (isInitiator ? 3 : 4) : undefined;
  }

  #answered(message: Message, answer: SaPayload): void {
    this.phase1.answer = answer;
    const method = methodOf(answer);
    if (method !== undefined) this.phase1.method = method;
    const { offer } = this.phase1;
    if (offer === undefined) return;
    const { chosen, notChosen } = proposalDecision(offer.payload, answer);
    if (chosen !== undefined)
      message.decisions.push(
        `chosen: proposal ${chosen.proposal} transform ${chosen.transform}: ${chosen.text}`,
      );
    if (notChosen.length > 0) message.decisions.push(`offered and not chosen: ${notChosen.length}`);
  }

  #detectNat(message: Message, chain: PayloadChain, datagram: CapturedDatagram): void {
    const { method } = this.phase1;
    const found = method && natOf(chain, method.hash, this.phase1, datagram);
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

  #prepareDecryption(): void {
    const { method, sides } = this.phase1;
    const [initiator, responder] = [sides.initiator.publicValue, sides.responder.publicValue];
    if (this.#decryption !== undefined || this.#key === undefined || method === undefined) return;
    if (initiator !== undefined && responder !== undefined)
      this.#decryption = new Decryption(this.#key, method, { initiator, responder });
  }

  #quickModeMessage(
    message: Message,
    header: IsakmpHeader,
    datagram: CapturedDatagram,
    chain: PayloadChain | undefined,
  ): [QuickModeReplay, number] {
    const quickMode = this.quickModes.get(header.messageId) ?? new QuickModeReplay(header.messageId, this);
    this.quickModes.set(header.messageId, quickMode);
    const number = quickMode.add(message.from, chain, datagram.atSeconds, datagram.destination.port === 4500);
    message.name = `quick mode ${number}`;
    if (chain !== undefined) {
      message.decisions.push(...announcements(chain));
      const ids = findPayloads(chain, 'id').map(({ payload }) => printId(payload));
      if (number === 1 && ids.length === 2) message.decisions.push(`asks for ${ids.join(' <-> ')}`);
      if (number === 2) message.decisions.push('accepted');
    }
    if (number === 3) message.decisions.push('the SAs of this quick mode are established');
    return [quickMode, number];
  }

  #informational(message: Message, chain: PayloadChain | undefined): void {
    const waiting = this.#lastOf(otherRole[message.from]);
    const open = [...this.quickModes.values()].findLast(({ complete, failed }) => !complete && !failed);
    if (chain === undefined) {
      const answersProof = !this.#established && /(main mode 5|aggressive mode 2)/.test(waiting);
      if (message.encrypted && answersProof && this.#isPreshared() && this.#decryption !== undefined)
        this.#failure ??= unreadableAnswer(this, message.from, waiting);
      return;
    }
    message.decisions.push(...announcements(chain));
    const error = findPayloads(chain, 'notify').find(({ payload }) => isErrorNotify(payload.notifyType));
    if (error === undefined) return;
    const { notifyType } = error.payload;
    const { encrypted, from: by } = message;
    const preshared = this.#isPreshared();
    if (open !== undefined)
      open.refuse(
        refusal(this, { mode: 'quick', by, message: 'quick mode 1', notifyType, encrypted, preshared }),
      );
    else if (!this.#established || this.quickModes.size === 0)
      this.#failure ??= refusal(this, {
        mode: 'main',
        by,
        message: waiting,
        notifyType,
        encrypted,
        preshared,
      });
  }

  /** Name of the last message of a side that asks for an answer. */
  #lastOf(role: Role): string {
    const asking = this.#messages.filter(
      ({ from, name }) => from === role && !name.startsWith('informational'),
    );
    return asking.at(-1)?.name ?? 'nothing';
  }

  #isPreshared(): boolean {
    const attributes = (this.phase1.answer ?? this.phase1.offer?.payload)?.proposals[0]?.transforms[0]
      ?.attributes;
    const method = readTransform(1, attributes ?? []).values.get(phase1Attributes.authentication);
    return method === authenticationMethods['pre-shared key'];
  }

  /** What it all came to. */
  finish(
    endsAtSeconds: number,
    flows: readonly ProtectedFlow[],
  ): Omit<ReplayNegotiation, 'proofs' | 'policyViews'> {
    const { phase1, initiator, responder } = this;
    const failure = this.#failure ?? this.#silence(endsAtSeconds);
    const outcome = failure !== undefined ? 'failed' : this.#established ? 'established' : 'unfinished';
    const identity = (role: Role) => phase1.sides[role].id?.payload;
    const [ofInitiator, ofResponder] = [identity('initiator'), identity('responder')];
    return {
      initiatorCookie: toHex(phase1.initiatorCookie),
      ...(isZeroCookie(phase1.responderCookie) ? {} : { responderCookie: toHex(phase1.responderCookie) }),
      mode: this.#mode,
      initiator,
      responder,
      beginsAtSeconds: this.#beginsAtSeconds,
      endsAtSeconds: Math.max(...this.#messages.map(lastSeconds)),
      outcome,
      ...(failure === undefined ? {} : { failure }),
      ...(phase1.offer === undefined
        ? {}
        : { proposals: proposalDecision(phase1.offer.payload, phase1.answer) }),
      vendors: this.#vendors,
      ...(this.nat === undefined ? {} : { nat: { ...this.nat, text: printNat(this.nat) } }),
      identities: {
        ...(ofInitiator === undefined ? {} : { initiator: printId(ofInitiator) }),
        ...(ofResponder === undefined ? {} : { responder: printId(ofResponder) }),
      },
      decrypted: this.#decrypted(),
      quickModes: [...this.quickModes.values()].map(quickMode =>
        quickMode.finish(endsAtSeconds, this.nat?.initiator === true || this.nat?.responder === true, flows),
      ),
      messages: this.#messages,
    };
  }

  #decrypted(): ReplayNegotiation['decrypted'] {
    const encrypted = this.#messages.filter(message => message.encrypted);
    const read = encrypted.filter(({ payloads }) => payloads !== undefined);
    if (encrypted.length === 0) return 'nothing encrypted';
    if (read.length === 0) return 'none';
    return read.length === encrypted.length ? 'all' : 'some';
  }

  /** A side that waited, and for how long; a capture that ends at once after a message says nothing. */
  #silence(endsAtSeconds: number): NegotiationFailure | undefined {
    const last = this.#messages.findLast(({ name }) => /^(main|aggressive) mode/.test(name));
    if (this.#established || last === undefined || this.#messages.at(-1) !== last) return undefined;
    const waitedSeconds = endsAtSeconds - lastSeconds(last);
    if (last.retransmissions.length === 0 && waitedSeconds < 5) return undefined;
    return silence(this, {
      mode: 'main',
      message: last.name,
      by: last.from,
      transmissions: last.retransmissions.length + 1,
      waitedSeconds,
      preshared: this.#isPreshared(),
      toNatPort: last.destination.port === 4500,
    });
  }
}

function lastSeconds({ atSeconds, retransmissions }: ReplayMessage): number {
  return retransmissions.at(-1)?.atSeconds ?? atSeconds;
}
