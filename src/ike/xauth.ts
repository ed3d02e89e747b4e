/**
 * XAUTH as client (draft-beaulieu-ike-xauth-02): the gateway asks for a user, says whether it takes them, and may ask
 * again for more in words of its own.
 */
import type { Secret } from '../crypto/secret.js';
import { toHex } from '../wire/bytes.js';
import { attributeNumber, type DataAttribute, tlv, tv } from '../wire/isakmp/attributes.js';
import { transactionAttributes as types } from '../wire/isakmp/numbers.js';
import { printableText } from '../wire/isakmp/transaction.js';
import type { PromptField, XauthUser } from './api.js';
import {
  afterXauth,
  type ClientSession,
  failSession,
  waitForGateway,
  waitForUser,
} from './client-session.js';
import type { Context } from './context.js';
import { type EstablishedMainMode, isEstablished } from './main-mode.js';
import { answer, type TransactionRequest } from './transaction.js';

type Answers = Readonly<Partial<Record<PromptField, Secret<string>>>>;

/** Attributes only a person can fill in, and the password, which the policy may know. */
const fieldOfType: Readonly<Record<number, PromptField>> = {
  [types.XAUTH_USER_PASSWORD]: 'password',
  [types.XAUTH_PASSCODE]: 'passcode',
  [types.XAUTH_NEXT_PIN]: 'next PIN',
  [types.XAUTH_ANSWER]: 'answer',
};

/** XAUTH_TYPE of RADIUS-CHAP: it hashes the password with a challenge; the others show the challenge to a person. */
const radiusChap = 1;

/** A user is not asked more often than this: somebody plays with them. */
const mostAnswers = 6;

const acceptedStatus = 1;

/** The gateway asks. What the policy knows is answered at once; the rest becomes a `prompt` effect. */
export function receiveRequest(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  request: TransactionRequest,
): void {
  const { xauth } = mainMode.policy;
  const { attributes } = request.payload;
  const asksUser = attributes.some(({ type }) => type === types.XAUTH_USER_NAME || type in fieldOfType);
  if (xauth === undefined || !asksUser) {
    // Nothing of ours is any business of the gateway's: every attribute without a value.
    answer(
      context,
      mainMode,
      client,
      request,
      attributes.map(({ type }) => tlv(type, new Uint8Array(0))),
    );
    return;
  }
  if (numberOf(attributes, types.XAUTH_TYPE) === radiusChap) {
    refuse(context, mainMode, client, 'me', `${mainMode.peer} wants RADIUS-CHAP, which is not supported`);
    return;
  }
  if (client.answers >= mostAnswers) {
    refuse(context, mainMode, client, 'peer', `${mainMode.peer} asks for the user again and again`);
    return;
  }
  const fields = [...new Set(attributes.flatMap(({ type }) => fieldOfType[type] ?? []))];
  const words = [types.XAUTH_MESSAGE, types.XAUTH_CHALLENGE]
    .map(type => textOf(attributes, type))
    .filter(text => text !== '');
  const known = knownAnswers(
    xauth,
    fields,
    client.answers > 0 || textOf(attributes, types.XAUTH_CHALLENGE) !== '',
  );
  if (words.length > 0) context.progress(mainMode.peer, 'note', 'XAUTH', words.join(' '));
  if (known !== undefined) {
    reply(context, mainMode, client, request, known);
    return;
  }
  const prompt = {
    id: toHex(context.random(8)),
    peer: mainMode.peer,
    asks: fields,
    ...(words.length === 0 ? {} : { text: words.join('\n') }),
  };
  client.question = { prompt, request };
  waitForUser(context, mainMode, client);
  context.emit({ kind: 'prompt', prompt });
}

/** What the policy can answer with; `undefined` when a person is needed. */
function knownAnswers(
  { password }: XauthUser,
  fields: readonly PromptField[],
  needsPerson: boolean,
): Answers | undefined {
  if (fields.length === 0) return {};
  const [only, ...more] = fields;
  if (password === undefined || needsPerson || more.length > 0) return undefined;
  return only === 'password' || only === 'passcode' ? { [only]: password } : undefined;
}

/** The user's answers to a `prompt` effect; one that nobody waits for any more is no error. */
export function answerPrompt(context: Context, id: string, answers: Answers | undefined): void {
  for (const mainMode of context.mainModes.all()) {
    const { client } = mainMode;
    if (client?.question?.prompt.id !== id || !isEstablished(mainMode)) continue;
    const { request, prompt } = client.question;
    delete client.question;
    if (answers !== undefined) reply(context, mainMode, client, request, answers);
    else {
      const asked = [prompt.asks.join(' and '), prompt.text].filter(Boolean).join(': ');
      refuse(
        context,
        mainMode,
        client,
        'me',
        `${mainMode.peer} asks for the ${asked}; nobody is there to answer`,
      );
    }
    return;
  }
}

function reply(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  request: TransactionRequest,
  answers: Answers,
): void {
  const { user = '' } = mainMode.policy.xauth ?? {};
  const attributes = request.payload.attributes.flatMap(({ type }): DataAttribute[] => {
    const field = fieldOfType[type];
    if (field !== undefined) return [tlv(type, utf8(answers[field]?.reveal() ?? ''))];
    if (type === types.XAUTH_USER_NAME) return [tlv(type, utf8(user))];
    if (type === types.XAUTH_TYPE) return [tv(type, numberOf(request.payload.attributes, type) ?? 0)];
    return type === types.XAUTH_DOMAIN ? [tlv(type, utf8(''))] : [];
  });
  client.answers++;
  answer(context, mainMode, client, request, attributes);
  waitForGateway(context, mainMode, client, 'xauth-failed', 'it did not say whether it accepts the user');
}

/** The gateway's verdict. It is acknowledged either way. */
export function receiveStatus(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  request: TransactionRequest,
): void {
  const { attributes } = request.payload;
  answer(context, mainMode, client, request, [tlv(types.XAUTH_STATUS, new Uint8Array(0))]);
  const words = textOf(attributes, types.XAUTH_MESSAGE);
  if (numberOf(attributes, types.XAUTH_STATUS) !== acceptedStatus) {
    const { user = '' } = mainMode.policy.xauth ?? {};
    const said = words === '' ? '' : `: ${words}`;
    refuse(context, mainMode, client, 'peer', `${mainMode.peer} refused the user "${user}"${said}`);
    return;
  }
  if (client.stage !== 'xauth') return;
  context.progress(mainMode.peer, 'note', 'XAUTH', words === '' ? 'the user is accepted' : words);
  context.timers.cancel(client.patience);
  afterXauth(context, mainMode, client);
}

function refuse(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  point: 'me' | 'peer',
  text: string,
): void {
  failSession(context, mainMode, client, { point, reason: 'xauth-failed', text, message: 'transaction' });
}

function textOf(attributes: readonly DataAttribute[], type: number): string {
  const found = attributes.find(attribute => attribute.type === type);
  return found?.form === 'tlv' ? printableText(found.bytes) : '';
}

function numberOf(attributes: readonly DataAttribute[], type: number): number | undefined {
  const found = attributes.find(attribute => attribute.type === type);
  return found && attributeNumber(found);
}

const utf8 = (text: string) => Buffer.from(text, 'utf8');
