/**
 * A gateway for tests: the engine's own main mode as responder, but for XAUTH, and what a gateway does then: it asks
 * for the user, says whether it takes them, and gives an address, asked for or pushed.
 */
import { Secret } from '../../src/crypto/secret.js';
import type { IkeDatagram } from '../../src/driver/api.js';
import type { IkeEffect, MainModePolicy, QuickModeRequest } from '../../src/ike/api.js';
import { Context } from '../../src/ike/context.js';
import { receiveInformational } from '../../src/ike/informational-receive.js';
import {
  type EstablishedMainMode,
  isEstablished,
  isZeroCookie,
  newMainMode,
} from '../../src/ike/main-mode.js';
import { answerMainMode, clearMessage } from '../../src/ike/main-mode-life.js';
import { answerMainMode as answerSa } from '../../src/ike/main-mode-proposal.js';
import { receiveMainMode } from '../../src/ike/main-mode-receive.js';
import { messageIdBytes, phase2Iv, seal, unseal, withHash } from '../../src/ike/protection.js';
import { receiveQuickMode } from '../../src/ike/quick-mode-receive.js';
import { Retransmission } from '../../src/ike/retransmission.js';
import type { DataAttribute } from '../../src/wire/isakmp/attributes.js';
import { tlv, tv } from '../../src/wire/isakmp/attributes.js';
import { decodeHeader, decodeMessage, findPayload } from '../../src/wire/isakmp/message.js';
import {
  exchangeTypes,
  transactionTypes,
  transactionAttributes as types,
  xauthMethods,
} from '../../src/wire/isakmp/numbers.js';
import type { AttributesPayload } from '../../src/wire/isakmp/payloads.js';
import {
  type Configuration,
  printableText,
  printTransactionAttributes,
  writeConfiguration,
} from '../../src/wire/isakmp/transaction.js';
import { esp3des, mainModePolicy } from './harness.js';

export interface GatewayOptions {
  readonly psk?: string;
  /** What it asks for, one question after the other; after the last good answer the user is accepted. */
  readonly questions?: readonly (readonly DataAttribute[])[];
  /** Whether an answer is right; by default the password is `right`. */
  readonly accepts?: (answers: ReadonlyMap<number, string>, question: number) => boolean;
  readonly configuration?: Configuration;
  /** Sets the configuration without being asked: after it has accepted the user, or before anything else. */
  readonly pushes?: boolean | 'first';
  /** Never says a word of its own. */
  readonly silent?: boolean;
}

const empty = new Uint8Array(0);

export const usual: readonly DataAttribute[] = [
  tv(types.XAUTH_TYPE, 0),
  tlv(types.XAUTH_USER_NAME, empty),
  tlv(types.XAUTH_USER_PASSWORD, empty),
];

interface Exchange {
  iv: Uint8Array;
  readonly request: Retransmission;
  readonly onAnswer: (payload: AttributesPayload) => void;
}

/** Its methods are those of an `IkeEngine` that the simulation uses. */
export class Gateway {
  readonly #context: Context;
  readonly #options: GatewayOptions;
  readonly #policy: MainModePolicy;
  readonly #exchanges = new Map<string, Exchange>();
  /** Answers given so far. */
  answered = 0;
  acknowledged = 0;
  /** What it was asked to configure, a line an attribute. */
  readonly asked: string[][] = [];

  constructor(random: () => number, options: GatewayOptions = {}) {
    this.#options = options;
    this.#policy = mainModePolicy(options.psk === undefined ? {} : { psk: options.psk });
    const quickMode = ({ mode, selector }: QuickModeRequest) => ({ methods: [esp3des], mode, selector });
    this.#context = new Context({
      policy: { mainModes: () => [this.#policy], mainModeOf: () => this.#policy, quickMode },
      random: length => Uint8Array.from({ length }, () => random() & 0xff),
      lastInboundAtMs: () => undefined,
    });
    const nothing = () => {};
    this.#context.listener = {
      mainModeEstablished: mainMode => this.#begin(mainMode),
      mainModeReady: nothing,
      addressChanged: nothing,
      mainModeShortened: nothing,
      mainModeWornOut: nothing,
      mainModeFailed: nothing,
      mainModeClosed: nothing,
      quickModeEstablished: nothing,
      quickModeFailed: nothing,
      pairUnused: nothing,
      mainModeDoubted: nothing,
      peerDead: nothing,
      pairLost: nothing,
    };
  }

  receive(datagram: IkeDatagram, nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => {
      const bytes = datagram.bytes.slice();
      const incoming = { header: decodeHeader(bytes), datagram: { ...datagram, bytes } };
      const { header } = incoming;
      const context = this.#context;
      const known = isZeroCookie(header.responderCookie)
        ? context.mainModes.byFirstMessage(datagram.peer.address, header.initiatorCookie)
        : context.mainModes.byCookies(header.initiatorCookie, header.responderCookie);
      if (header.exchangeType === exchangeTypes['Main mode']) {
        if (known === undefined) this.#accept(datagram, header.initiatorCookie);
        else receiveMainMode(context, incoming);
      } else if (known !== undefined && isEstablished(known)) {
        if (header.exchangeType === exchangeTypes.Transaction) this.#transaction(known, incoming);
        else if (header.exchangeType === exchangeTypes['Quick mode'])
          receiveQuickMode(context, known, incoming);
        else receiveInformational(context, known, incoming);
      }
    });
  }

  tick(nowMs: number): IkeEffect[] {
    return this.#at(nowMs, () => {});
  }

  nextWakeMs(): number | undefined {
    return this.#context.timers.nextMs();
  }

  mainModes(): number {
    return this.#context.mainModes.size;
  }

  /** Main mode 1, with the first transform as it comes: its authentication is XAUTHInitPreShared. */
  #accept(datagram: IkeDatagram, initiatorCookie: Uint8Array): void {
    const { local, peer, bytes } = datagram;
    const context = this.#context;
    const sa = findPayload(decodeMessage(bytes), 'sa');
    const proposal = sa?.payload.proposals[0];
    const transform = proposal?.transforms[0];
    const [method] = this.#policy.methods;
    const [authentication] = this.#policy.authentication;
    if (!sa || !proposal || !transform || !method || authentication?.kind !== 'preshared') return;
    const id = xauthMethods.presharedInitiator;
    const mainMode = newMainMode({
      ...{ role: 'responder', local: local.address, peer: peer.address },
      ...{ localPort: local.port, peerPort: peer.port, initiatorCookie: initiatorCookie.slice() },
      ...{ responderCookie: context.newCookie(), policy: this.#policy, startedAtMs: context.nowMs },
      state: {
        stage: 'awaiting 3',
        saBody: sa.body,
        choice: { method, authentication: { ...authentication, id }, lifetimeSeconds: 28_800 },
      },
    });
    context.mainModes.add(mainMode);
    const payloads = [answerSa(proposal, transform)];
    answerMainMode(context, mainMode, bytes, 'main mode 2', clearMessage(mainMode, payloads), payloads);
  }

  #begin(mainMode: EstablishedMainMode): void {
    const { silent, pushes, configuration } = this.#options;
    if (silent) return;
    if (pushes !== 'first' || configuration === undefined) this.#question(mainMode, 0);
    else
      this.#ask(mainMode, transactionTypes.SET, writeConfiguration(configuration), () =>
        this.#question(mainMode, 0),
      );
  }

  #question(mainMode: EstablishedMainMode, number: number): void {
    const { questions = [usual], accepts = isRight } = this.#options;
    const question = questions[number];
    if (question === undefined) {
      this.#verdict(mainMode, true);
      return;
    }
    this.#ask(mainMode, transactionTypes.REQUEST, question, ({ attributes }) => {
      this.answered++;
      const answers = new Map(
        attributes.map(one => [one.type, one.form === 'tlv' ? printableText(one.bytes) : String(one.value)]),
      );
      if (accepts(answers, number)) this.#question(mainMode, number + 1);
      else this.#verdict(mainMode, false);
    });
  }

  #verdict(mainMode: EstablishedMainMode, accepted: boolean): void {
    this.#ask(mainMode, transactionTypes.SET, [tv(types.XAUTH_STATUS, accepted ? 1 : 0)], () => {
      this.acknowledged++;
      const { pushes = false, configuration } = this.#options;
      if (!accepted || pushes !== true || configuration === undefined) return;
      this.#ask(mainMode, transactionTypes.SET, writeConfiguration(configuration), () => this.acknowledged++);
    });
  }

  #ask(
    mainMode: EstablishedMainMode,
    messageType: number,
    attributes: readonly DataAttribute[],
    onAnswer: Exchange['onAnswer'],
  ): void {
    const context = this.#context;
    const { keys, lastBlock } = mainMode.state;
    const messageId = context.newMessageId(mainMode);
    const payloads = withHash(
      keys,
      [messageIdBytes(messageId)],
      [{ kind: 'attributes', messageType, identifier: 7, attributes }],
    );
    const { initiatorCookie, responderCookie } = mainMode;
    const header = { initiatorCookie, responderCookie, exchangeType: 6, flags: 0, messageId };
    const sealed = seal(keys, phase2Iv(keys.method, lastBlock, messageId), header, payloads);
    const send = () => context.send(mainMode, sealed.value, { name: 'transaction', payloads });
    const request = new Retransmission(context, send, () => {});
    this.#exchanges.set(`${Buffer.from(responderCookie).toString('hex')} ${messageId}`, {
      iv: sealed.nextIv,
      request,
      onAnswer,
    });
  }

  #transaction(
    mainMode: EstablishedMainMode,
    { header, datagram }: Parameters<typeof receiveMainMode>[1],
  ): void {
    const context = this.#context;
    if (mainMode.duplicates.handle(datagram.bytes, context.nowMs)) return;
    const { keys, lastBlock } = mainMode.state;
    const key = `${Buffer.from(mainMode.responderCookie).toString('hex')} ${header.messageId}`;
    const exchange = this.#exchanges.get(key);
    const iv = exchange?.iv ?? phase2Iv(keys.method, lastBlock, header.messageId);
    const opened = unseal(keys, iv, header, datagram.bytes);
    const payload = findPayload(opened.value, 'attributes')?.payload;
    if (payload === undefined) return;
    if (exchange !== undefined) {
      exchange.request.stop();
      this.#exchanges.delete(key);
      mainMode.duplicates.remember(datagram.bytes, context.nowMs);
      exchange.onAnswer(payload);
      return;
    }
    const { configuration } = this.#options;
    if (payload.messageType !== transactionTypes.REQUEST || configuration === undefined) return;
    this.asked.push(printTransactionAttributes(payload.attributes));
    const payloads = withHash(
      keys,
      [messageIdBytes(header.messageId)],
      [{ ...payload, messageType: transactionTypes.REPLY, attributes: writeConfiguration(configuration) }],
    );
    const { value } = seal(keys, opened.nextIv, { ...header, flags: 0 }, payloads);
    const send = () => context.send(mainMode, value, { name: 'transaction', payloads });
    mainMode.duplicates.remember(datagram.bytes, context.nowMs, send);
    send();
  }

  #at(nowMs: number, work: () => void): IkeEffect[] {
    const context = this.#context;
    for (let due = context.timers.takeDue(nowMs); due; due = context.timers.takeDue(nowMs)) {
      context.nowMs = nowMs;
      due();
    }
    context.nowMs = nowMs;
    try {
      work();
    } catch {
      // What cannot be read is not from the client.
    }
    return context.takeEffects();
  }
}

function isRight(answers: ReadonlyMap<number, string>): boolean {
  return answers.get(types.XAUTH_USER_PASSWORD) === 'right';
}

/** A client's settings towards it. */
export function clientPolicy(
  password: string | undefined,
  overrides: Parameters<typeof mainModePolicy>[0] = {},
): MainModePolicy {
  return mainModePolicy({
    xauth: { user: 'ann', ...(password === undefined ? {} : { password: new Secret(password) }) },
    ...overrides,
  });
}
