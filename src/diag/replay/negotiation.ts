/** One negotiation of a capture, message by message: everything under one initiator cookie. */
import { digest } from '../../crypto/prf.js';
import type { NegotiationFailure } from '../../ike/api.js';
import { FragmentQueues, wholeMessage } from '../../ike/fragments.js';
import { isZeroCookie } from '../../ike/main-mode.js';
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
  type PayloadChain,
} from '../../wire/isakmp/message.js';
import { exchangeTypes, isErrorNotify } from '../../wire/isakmp/numbers.js';
import type { CapturedDatagram } from './datagrams.js';
import { Decryption } from './decryption.js';
import { announcements, printNat } from './facts.js';
import { lastSeconds, type MessageRecord, newRecord, otherRole } from './message-record.js';
import { refusal, silence } from './outcome.js';
import { Phase1Replay } from './phase1.js';
import { QuickModeReplay } from './quick-mode.js';
import type { ProtectedFlow, ReplayEndpoint, ReplayMessage, ReplayNegotiation, Role } from './report.js';
import { TransactionsReplay } from './transactions.js';

/** Messages and quick modes of one negotiation that are told of unless said otherwise; those after them are counted. */
const usuallyMostMessages = 1_000;
const mostQuickModes = 500;

/** Lines of the fields of one message. */
const mostFields = 400;

export class NegotiationReplay {
  readonly initiator: ReplayEndpoint;
  readonly responder: ReplayEndpoint;
  readonly phase1: Phase1Replay;
  readonly quickModes = new Map<number, QuickModeReplay>();
  readonly #transactions: TransactionsReplay;
  readonly #key: Uint8Array | undefined;
  readonly #mostMessages: number;
  readonly #beginsAtSeconds: number;
  readonly #messages: MessageRecord[] = [];
  readonly #byBytes = new Map<
    string,
    { readonly message: MessageRecord; readonly quickMode?: [QuickModeReplay, number] }
  >();
  readonly #fragments = new FragmentQueues();
  /** Names of the last messages of each side that ask for an answer. */
  readonly #asking: Record<Role, string> = { initiator: 'nothing', responder: 'nothing' };
  #decryption: Decryption | undefined;
  #latest: MessageRecord | undefined;
  #openQuickMode: QuickModeReplay | undefined;
  #encrypted = 0;
  #read = 0;
  #leftOut = 0;
  #endsAtSeconds: number;

  /** `key` decrypts, if it is known. The first message tells who begins. */
  constructor(
    first: CapturedDatagram,
    header: IsakmpHeader,
    key: Uint8Array | undefined,
    mostMessages = usuallyMostMessages,
  ) {
    this.#mostMessages = mostMessages;
    this.initiator = first.source;
    this.responder = first.destination;
    this.#beginsAtSeconds = first.atSeconds;
    this.#endsAtSeconds = first.atSeconds;
    this.#key = key;
    this.phase1 = new Phase1Replay(header, this);
    this.#transactions = new TransactionsReplay(this);
  }

  /** Takes a message. What cannot be read is recorded as such. Returns its record, or that of the one it repeats. */
  add(datagram: CapturedDatagram, header: IsakmpHeader, bytes = datagram.bytes, pieces = 0): ReplayMessage {
    const from = this.#roleOf(datagram);
    this.#endsAtSeconds = Math.max(this.#endsAtSeconds, datagram.atSeconds);
    const key = `${from} ${toHex(digest('sha1', bytes))}`;
    const known = this.#byBytes.get(key);
    if (known !== undefined) {
      known.message.retransmissions.push({ packet: datagram.packet, atSeconds: datagram.atSeconds });
      known.quickMode?.[0].repeated(known.quickMode[1], datagram.atSeconds);
      return known.message;
    }
    if (!isZeroCookie(header.responderCookie)) this.phase1.responderCookie = header.responderCookie.slice();
    const message = newRecord(datagram, header, from, pieces);
    const isKept = this.#messages.length < this.#mostMessages;
    if (isKept) this.#messages.push(message);
    else this.#leftOut++;
    this.#latest = message;
    const chain = this.#open(message, header, bytes);
    if (message.encrypted) this.#encrypted++;
    if (chain !== undefined) {
      if (message.encrypted) this.#read++;
      const payloads = chain.payloads.map(({ payload }) => payload);
      message.payloads = summarisePayloads(payloads);
      if (isKept) message.fields = cut(payloadLines(payloads));
    }
    const quickMode = this.#take(message, header, datagram, chain);
    if (!message.name.startsWith('informational')) this.#asking[from] = message.name;
    if (isKept) this.#byBytes.set(key, { message, ...(quickMode === undefined ? {} : { quickMode }) });
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

  #open(message: MessageRecord, header: IsakmpHeader, bytes: Uint8Array): PayloadChain | undefined {
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
    message: MessageRecord,
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
    if (chain !== undefined) message.decisions.push(...announcements(chain));
    switch (header.exchangeType) {
      case exchangeTypes['Main mode']:
      case exchangeTypes['Aggressive mode']:
        this.phase1.take(message, header, datagram, chain, this.#decryption !== undefined);
        this.#prepareDecryption();
        break;
      case exchangeTypes['Quick mode']:
        return this.#quickModeMessage(message, header, datagram, chain);
      case exchangeTypes.Transaction:
        this.#transactions.take(message, header.messageId, chain);
        break;
      case exchangeTypes.Informational:
        this.#informational(message, chain);
        break;
    }
    return undefined;
  }

  #addFragment(
    message: MessageRecord,
    datagram: CapturedDatagram,
    header: IsakmpHeader,
    chain: PayloadChain,
  ): void {
    const piece = findPayload(chain, 'fragment')?.payload;
    if (piece === undefined) return;
    const exchange = `${message.from} ${header.exchangeType} ${header.messageId}`;
    const joined = this.#fragments.add(exchange, piece, datagram.atSeconds * 1000);
    if (joined === undefined) return;
    try {
      const whole = wholeMessage(header, joined);
      this.add(datagram, decodeHeader(whole), whole, piece.number);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      message.problem = `the fragments make no message: ${error.message}`;
    }
  }

  #prepareDecryption(): void {
    const { method, sides } = this.phase1;
    const [initiator, responder] = [sides.initiator.publicValue, sides.responder.publicValue];
    if (this.#decryption !== undefined || this.#key === undefined || method === undefined) return;
    if (initiator !== undefined && responder !== undefined)
      this.#decryption = new Decryption(this.#key, method, { initiator, responder });
  }

  #quickModeMessage(
    message: MessageRecord,
    header: IsakmpHeader,
    datagram: CapturedDatagram,
    chain: PayloadChain | undefined,
  ): [QuickModeReplay, number] {
    const quickMode = this.#quickMode(header.messageId);
    const number = quickMode.add(message.from, chain, datagram.atSeconds, datagram.destination.port === 4500);
    message.name = `quick mode ${number}`;
    if (chain !== undefined) {
      const ids = findPayloads(chain, 'id').map(({ payload }) => printId(payload));
      if (number === 1 && ids.length === 2) message.decisions.push(`asks for ${ids.join(' <-> ')}`);
      if (number === 2) message.decisions.push('accepted');
    }
    if (number === 3) message.decisions.push('the SAs of this quick mode are established');
    this.#openQuickMode = quickMode;
    return [quickMode, number];
  }

  #quickMode(messageId: number): QuickModeReplay {
    const known = this.quickModes.get(messageId);
    if (known !== undefined) return known;
    const begun = new QuickModeReplay(messageId, this);
    if (this.quickModes.size < mostQuickModes) this.quickModes.set(messageId, begun);
    else this.#leftOut++;
    return begun;
  }

  #informational(message: MessageRecord, chain: PayloadChain | undefined): void {
    if (chain === undefined) {
      if (message.encrypted) this.phase1.takeUnreadNotification(message, this.#decryption !== undefined);
      return;
    }
    const error = findPayloads(chain, 'notify').find(({ payload }) => isErrorNotify(payload.notifyType));
    if (error === undefined) return;
    const { notifyType } = error.payload;
    const { encrypted, from: by } = message;
    const { isPreshared: preshared, established } = this.phase1;
    const open = this.#openQuickMode;
    if (open !== undefined && !open.complete && !open.failed)
      open.refuse(
        refusal(this, { mode: 'quick', by, message: 'quick mode 1', notifyType, encrypted, preshared }),
      );
    else if (!established || this.quickModes.size === 0)
      this.phase1.refuse(
        refusal(this, {
          ...{ mode: 'main', by, notifyType, encrypted, preshared },
          message: this.#asking[otherRole[by]],
        }),
      );
  }

  /** What it all came to, but for what takes more than the capture. */
  finish(
    endsAtSeconds: number,
    flows: readonly ProtectedFlow[],
  ): Omit<ReplayNegotiation, 'proofs' | 'policyViews' | 'certificates'> {
    const { phase1, initiator, responder } = this;
    const { established, sides, nat, proposals, vendors, responderCookie } = phase1;
    const failure = phase1.failure ?? this.#transactions.failure ?? this.#silence(endsAtSeconds);
    const outcome = failure !== undefined ? 'failed' : established ? 'established' : 'unfinished';
    const identity = (role: Role) => sides[role].id?.payload;
    const [ofInitiator, ofResponder] = [identity('initiator'), identity('responder')];
    const xauth = this.#transactions.xauth(phase1.wantsUser, this.quickModes.size > 0);
    const { configuration } = this.#transactions;
    const hasNat = nat?.initiator === true || nat?.responder === true;
    return {
      initiatorCookie: toHex(phase1.initiatorCookie),
      ...(isZeroCookie(responderCookie) ? {} : { responderCookie: toHex(responderCookie) }),
      mode: phase1.mode,
      initiator,
      responder,
      beginsAtSeconds: this.#beginsAtSeconds,
      endsAtSeconds: this.#endsAtSeconds,
      outcome,
      ...(failure === undefined ? {} : { failure }),
      ...(proposals === undefined ? {} : { proposals }),
      vendors,
      ...(nat === undefined ? {} : { nat: { ...nat, text: printNat(nat) } }),
      identities: {
        ...(ofInitiator === undefined ? {} : { initiator: printId(ofInitiator) }),
        ...(ofResponder === undefined ? {} : { responder: printId(ofResponder) }),
      },
      decrypted: this.#decrypted(),
      warnings: this.#warnings(),
      ...(xauth === undefined ? {} : { xauth }),
      ...(configuration === undefined ? {} : { configuration }),
      quickModes: [...this.quickModes.values()].map(quickMode =>
        quickMode.finish(endsAtSeconds, hasNat, flows),
      ),
      messages: this.#messages,
      leftOut: this.#leftOut,
    };
  }

  #decrypted(): ReplayNegotiation['decrypted'] {
    if (this.#encrypted === 0) return 'nothing encrypted';
    if (this.#read === 0) return 'none';
    return this.#read === this.#encrypted ? 'all' : 'some';
  }

  #warnings(): string[] {
    const { mode, isPreshared, sides } = this.phase1;
    if (mode !== 'aggressive' || !isPreshared || sides.responder.proof === undefined) return [];
    return [
      'aggressive mode sent the identities and a hash of the preshared key in clear: whoever has this capture can try keys against it, as --psk-file does, without asking anyone',
    ];
  }

  /** A side that waited, and for how long; a capture that ends at once after a message says nothing. */
  #silence(endsAtSeconds: number): NegotiationFailure | undefined {
    const last = this.#latest;
    if (last === undefined) return undefined;
    const isPhase1 = /^(main|aggressive) mode/.test(last.name) && !this.phase1.established;
    if (!isPhase1 && !this.#transactions.isUnanswered(last)) return undefined;
    const waitedSeconds = endsAtSeconds - lastSeconds(last);
    if (last.retransmissions.length === 0 && waitedSeconds < 5) return undefined;
    const before = this.#messages.findLast(({ from }) => from === otherRole[last.from]);
    const again = (before?.retransmissions.at(-1)?.packet ?? 0) > last.packet;
    return silence(this, {
      mode: 'main',
      message: last.name,
      by: last.from,
      transmissions: last.retransmissions.length + 1,
      waitedSeconds,
      preshared: this.phase1.isPreshared,
      toNatPort: last.destination.port === 4500,
      ...(again && before !== undefined ? { unheard: before.name } : {}),
    });
  }
}

function cut(lines: readonly string[]): readonly string[] {
  return lines.length <= mostFields
    ? lines
    : [...lines.slice(0, mostFields), `… ${lines.length - mostFields} more`];
}
