/**
 * What a client of a gateway goes through between main mode and the first quick mode: first XAUTH, which the gateway
 * begins, then mode-config, asked for or waited for. Each can be the policy's wish alone.
 */
import { assignedAddresses, type Configuration } from '../wire/isakmp/transaction.js';
import type { FailureReason, MainModePolicy, NegotiationFailure, UserPrompt } from './api.js';
import type { Context } from './context.js';
import { mainModeDelete } from './deletion.js';
import { sendProtected } from './informational-send.js';
import type { EstablishedMainMode, MainMode } from './main-mode.js';
import { failMainMode, mainModeFailure } from './main-mode-life.js';
import { acceptConfiguration, requestConfiguration } from './mode-config.js';
import type { Retransmission } from './retransmission.js';
import type { Timer } from './timers.js';
import type { TransactionRequest } from './transaction.js';

export interface ClientSession {
  /** `done`: quick modes can begin. `failed`: its main mode ends. */
  stage: 'xauth' | 'mode-config' | 'done' | 'failed';
  /** IV of the next message under each message id of a transaction. */
  readonly ivs: Map<number, Uint8Array>;
  /** How often we have answered the gateway's questions for the user. */
  answers: number;
  /** The question the user has not answered yet. */
  question?: { readonly prompt: UserPrompt; readonly request: TransactionRequest };
  configuration?: Configuration;
  /** Our own request under way, and its message id. */
  request?: Retransmission;
  requestId?: number;
  /** Runs while the gateway has the next word. */
  patience?: Timer;
}

export const emptyConfiguration: Configuration = { dnsServers: [], winsServers: [], networks: [] };

/** How long the gateway may take for its next word: as long as one of our own requests is repeated. */
const patienceMs = 100_000;

/** How long the user may take to answer. */
const userPatienceMs = 300_000;

export function isClient({ xauth, modeConfig }: MainModePolicy): boolean {
  return xauth !== undefined || modeConfig !== undefined;
}

/** Begins where main mode has ended. */
export function startClientSession(context: Context, mainMode: EstablishedMainMode): void {
  const { xauth } = mainMode.policy;
  mainMode.client = { stage: 'xauth', ivs: new Map(), answers: 0 };
  if (xauth === undefined) afterXauth(context, mainMode, mainMode.client);
  else waitForGateway(context, mainMode, mainMode.client, 'xauth-failed', 'it asked for no user');
}

/** The user is accepted, or none is asked for. */
export function afterXauth(context: Context, mainMode: EstablishedMainMode, client: ClientSession): void {
  const { modeConfig } = mainMode.policy;
  client.stage = 'mode-config';
  if (modeConfig === undefined) finish(context, mainMode, client);
  else if (client.configuration !== undefined)
    acceptConfiguration(context, mainMode, client, client.configuration);
  else if (modeConfig.kind === 'pull') requestConfiguration(context, mainMode, client);
  else waitForGateway(context, mainMode, client, 'no-address', 'it assigned no address');
}

/** Everything is settled: quick modes begin, those from the address that is in use no longer excepted. */
export function finish(context: Context, mainMode: EstablishedMainMode, client: ClientSession): void {
  client.request?.stop();
  context.timers.cancel(client.patience);
  client.stage = 'done';
  const { local, peer, policy } = mainMode;
  const { configuration } = client;
  const given = configuration === undefined ? [] : assignedAddresses(configuration);
  const lost = (policy.modeConfig?.inUse ?? []).filter(address => !given.includes(address));
  if (configuration !== undefined && given.length > 0 && lost.length > 0) {
    const [now, before] = [given, lost].map(list => list.join(' and '));
    context.listener.addressChanged(mainMode, `${peer} now assigns ${now}, not ${before}`);
    context.emit({ kind: 'reconfigured', local, peer, configuration });
  }
  context.listener.mainModeReady(mainMode);
}

/** The gateway has the next word. */
export function waitForGateway(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  reason: FailureReason,
  text: string,
): void {
  wait(context, mainMode, client, patienceMs, { point: 'peer', reason, text: `${mainMode.peer}: ${text}` });
}

/** The user has. */
export function waitForUser(context: Context, mainMode: EstablishedMainMode, client: ClientSession): void {
  const text = `${mainMode.peer} asks for more than the password, and nobody answered`;
  wait(context, mainMode, client, userPatienceMs, { point: 'me', reason: 'xauth-failed', text });
}

type Facts = Parameters<typeof mainModeFailure>[1];

function wait(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  forMs: number,
  facts: Facts,
): void {
  context.timers.cancel(client.patience);
  client.patience = context.schedule(mainMode, context.nowMs + forMs, () =>
    failSession(context, mainMode, client, facts),
  );
}

/** Ends the main mode at the peer and here, and tells those who wait for it why. */
export function failSession(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  facts: Facts,
): void {
  if (client.stage === 'failed') return;
  client.stage = 'failed';
  sendProtected(context, mainMode, [mainModeDelete(mainMode)]);
  failMainMode(context, mainMode, mainModeFailure(mainMode, facts));
}

/** The failure of a main mode that ended before its session did; `undefined` when that was over, or tells itself. */
export function closedDuringSession(mainMode: MainMode): NegotiationFailure | undefined {
  const stage = mainMode.client?.stage;
  if (stage !== 'xauth' && stage !== 'mode-config') return undefined;
  return mainModeFailure(mainMode, {
    point: 'peer',
    reason: stage === 'xauth' ? 'xauth-failed' : 'no-address',
    text: `the connection to ${mainMode.peer} ended before the gateway ${stage === 'xauth' ? 'had accepted the user' : 'had assigned an address'}`,
  });
}
