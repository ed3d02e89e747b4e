/** XAUTH and mode-config of a negotiation: what the gateway asks its client, and what it gives it. */
import { describeConfiguration } from '../../agent/gateway-client.js';
import type { NegotiationFailure } from '../../ike/api.js';
import { failure } from '../../ike/failures.js';
import { WireError } from '../../wire/bytes.js';
import { attributeNumber, type DataAttribute } from '../../wire/isakmp/attributes.js';
import { findPayload, type PayloadChain } from '../../wire/isakmp/message.js';
import { nameOf, transactionTypes, transactionAttributes as types } from '../../wire/isakmp/numbers.js';
import type { AttributesPayload } from '../../wire/isakmp/payloads.js';
import {
  assignedAddresses,
  type Configuration,
  printableText,
  readConfiguration,
} from '../../wire/isakmp/transaction.js';
import type { MessageRecord } from './message-record.js';
import type { Sides } from './outcome.js';
import type { ReplayConfiguration, ReplayXauth, Role } from './report.js';

type Subject = 'XAUTH' | 'mode-config';

/** The messages of one id. */
interface Exchange {
  readonly asker: Role;
  readonly first: MessageRecord;
  messages: number;
  subject?: Subject;
}

/** Exchanges looked at; a gateway uses three or four for each client. */
const mostExchanges = 1_000;

const xauthTypes = ['generic', 'RADIUS-CHAP', 'one-time password', 'S/KEY'];

const acceptedStatus = 1;

/** What a gateway can ask of a user besides the name; none of it is ever shown. */
const secrets: Readonly<Record<number, string>> = {
  [types.XAUTH_USER_PASSWORD]: 'password',
  [types.XAUTH_PASSCODE]: 'passcode',
  [types.XAUTH_NEXT_PIN]: 'next PIN',
  [types.XAUTH_ANSWER]: 'answer',
};

export class TransactionsReplay {
  readonly #sides: Sides;
  readonly #exchanges = new Map<number, Exchange>();
  #unread = 0;
  #gateway: Role | undefined;
  #user: string | undefined;
  #accepted: boolean | undefined;
  #configuration: { readonly from: Role; readonly given: Configuration } | undefined;
  #failure: NegotiationFailure | undefined;

  constructor(sides: Sides) {
    this.#sides = sides;
  }

  get failure(): NegotiationFailure | undefined {
    return this.#failure;
  }

  /** Takes a message of exchange type 6 and names it. */
  take(message: MessageRecord, messageId: number, chain: PayloadChain | undefined): void {
    const exchange = this.#exchangeOf(message, messageId);
    exchange.messages++;
    message.name = `transaction ${exchange.messages}`;
    const payload = chain && findPayload(chain, 'attributes')?.payload;
    if (payload === undefined) {
      this.#unread++;
      if (message.encrypted && exchange.messages === 1)
        message.decisions.push('XAUTH or mode-config, which the keys would tell');
      return;
    }
    exchange.subject = subjectOf(payload) ?? exchange.subject ?? 'mode-config';
    message.name = `${exchange.subject} ${nameOf(transactionTypes, payload.messageType).toLowerCase()}`;
    try {
      const said =
        exchange.subject === 'XAUTH' ? this.#xauth(message, payload) : this.#modeConfig(message, payload);
      message.decisions.push(said);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      message.problem = `its attributes cannot be read: ${error.message}`;
    }
  }

  /** The message that waits for an answer, when it is the newest. */
  isUnanswered(message: MessageRecord): boolean {
    return [...this.#exchanges.values()].some(({ first, messages }) => first === message && messages === 1);
  }

  /** How the gateway's questions ended; `followed`: something was negotiated afterwards. `wanted`: phase 1 agreed on it. */
  xauth(wanted: boolean, followed: boolean): ReplayXauth | undefined {
    const user = this.#user;
    const base = {
      ...(this.#gateway === undefined ? {} : { gateway: this.#gateway }),
      ...(user === undefined ? {} : { user }),
    };
    const whom = user === undefined ? 'the user' : `the user "${user}"`;
    if (this.#accepted !== undefined)
      return this.#accepted
        ? { ...base, outcome: 'accepted', text: `XAUTH: ${whom} is accepted` }
        : { ...base, outcome: 'refused', text: `XAUTH: ${whom} is refused` };
    if (this.#gateway === undefined && !wanted) return undefined;
    if (followed)
      return { ...base, outcome: 'accepted', text: `XAUTH: ${whom} is accepted, for quick mode follows` };
    const what =
      this.#unread > 0
        ? `${this.#unread} encrypted messages, and nothing after them, as when the user is refused; the keys would tell`
        : this.#gateway === undefined
          ? 'agreed on, and the capture has none of it'
          : 'the gateway has not said whether it accepts the user';
    return { ...base, outcome: 'unfinished', text: `XAUTH: ${what}` };
  }

  get configuration(): ReplayConfiguration | undefined {
    if (this.#configuration === undefined) return undefined;
    const { from, given } = this.#configuration;
    return { from, given, text: `mode-config: the ${from} gives ${printConfiguration(given)}` };
  }

  #exchangeOf(message: MessageRecord, messageId: number): Exchange {
    const known = this.#exchanges.get(messageId);
    if (known !== undefined) return known;
    const begun: Exchange = { asker: message.from, first: message, messages: 0 };
    if (this.#exchanges.size < mostExchanges) this.#exchanges.set(messageId, begun);
    return begun;
  }

  #xauth({ from }: MessageRecord, { messageType, attributes }: AttributesPayload): string {
    const status = numberOf(attributes, types.XAUTH_STATUS);
    const words = [types.XAUTH_MESSAGE, types.XAUTH_CHALLENGE]
      .map(type => textOf(attributes, type))
      .filter(text => text !== '');
    const said = words.length === 0 ? '' : `: "${words.join(' ')}"`;
    const asked = attributes.flatMap(({ type }) => secrets[type] ?? []);
    switch (messageType) {
      case transactionTypes.REQUEST: {
        this.#gateway = from;
        const kind = numberOf(attributes, types.XAUTH_TYPE) ?? 0;
        const way = kind === 0 ? '' : ` by ${xauthTypes[kind] ?? `method ${kind}`}`;
        const name = attributes.some(({ type }) => type === types.XAUTH_USER_NAME) ? ['user name'] : [];
        return `asks for ${[...name, ...asked].join(', ') || 'nothing'}${way}${said}`;
      }
      case transactionTypes.REPLY: {
        if (status !== undefined) {
          this.#accepted ??= false;
          return 'gives up: it does not answer as a user';
        }
        const user = textOf(attributes, types.XAUTH_USER_NAME);
        if (user !== '') this.#user = user;
        const given = attributes.filter(
          one => one.type in secrets && one.form === 'tlv' && one.bytes.length > 0,
        );
        const shown = given.map(({ type }) => `${secrets[type] ?? ''} (not shown)`);
        return `answers as ${user === '' ? 'no user' : `the user "${user}"`}, ${shown.length === 0 ? 'without a password' : `with ${shown.join(', ')}`}`;
      }
      case transactionTypes.SET:
        this.#gateway = from;
        return this.#verdict(from, status === acceptedStatus, said);
      default:
        return 'acknowledged';
    }
  }

  #verdict(from: Role, accepted: boolean, said: string): string {
    this.#accepted = accepted;
    const whom = this.#user === undefined ? 'the user' : `the user "${this.#user}"`;
    if (accepted) return `OK: accepts ${whom}${said}`;
    this.#fail('xauth-failed', from, `${this.#sides[from].address} refused ${whom}${said}`);
    return `FAIL: refuses ${whom}${said}`;
  }

  #modeConfig({ from }: MessageRecord, { messageType, attributes }: AttributesPayload): string {
    if (messageType === transactionTypes.ACK) return 'acknowledged';
    if (messageType === transactionTypes.REQUEST) {
      const addresses = assignedAddresses(readConfiguration(attributes)).join(' and ');
      const names = attributes.map(({ type }) => nameOf(types, type));
      return `asks for ${addresses === '' ? '' : `the address ${addresses} and `}${names.join(', ')}`;
    }
    const given = readConfiguration(attributes);
    if (assignedAddresses(given).length === 0 && messageType === transactionTypes.REPLY)
      this.#fail('no-address', from, `${this.#sides[from].address} assigned no address`);
    this.#configuration = { from, given };
    return `gives ${printConfiguration(given)}`;
  }

  #fail(reason: 'xauth-failed' | 'no-address', by: Role, text: string): void {
    const { initiator, responder } = this.#sides;
    this.#failure ??= failure({
      mode: 'main',
      local: initiator.address,
      peer: responder.address,
      point: by === 'responder' ? 'peer' : 'me',
      reason,
      text,
      message: 'transaction',
    });
  }
}

/** `undefined` for an acknowledgement without attributes. */
function subjectOf({ attributes }: AttributesPayload): Subject | undefined {
  if (attributes.length === 0) return undefined;
  const isXauth = ({ type }: DataAttribute) => type >= types.XAUTH_TYPE && type <= types.XAUTH_ANSWER;
  return attributes.some(isXauth) ? 'XAUTH' : 'mode-config';
}

function printConfiguration(given: Configuration): string {
  const { networks, winsServers, expirySeconds, banner } = given;
  const more = [
    ...(winsServers.length === 0 ? [] : [`WINS ${winsServers.join(' ')}`]),
    ...(networks.length === 0
      ? []
      : [`networks ${networks.map(({ address, prefixLength }) => `${address}/${prefixLength}`).join(' ')}`]),
    ...(expirySeconds === undefined ? [] : [`for ${expirySeconds} s`]),
    ...(banner === undefined ? [] : [`the banner "${banner.replaceAll('\n', ' ')}"`]),
  ];
  return [describeConfiguration(given), ...more].filter(text => text !== '').join(', ') || 'nothing';
}

function textOf(attributes: readonly DataAttribute[], type: number): string {
  const found = attributes.find(attribute => attribute.type === type);
  return found?.form === 'tlv' ? printableText(found.bytes).replaceAll('\n', ' ') : '';
}

function numberOf(attributes: readonly DataAttribute[], type: number): number | undefined {
  const found = attributes.find(attribute => attribute.type === type);
  return found && attributeNumber(found);
}
