/** Mode-config as client (draft-dukes-ike-mode-cfg-02): the address and the servers a gateway gives us. */
import { WireError } from '../wire/bytes.js';
import { addressBytes, type IpAddress } from '../wire/ip/address.js';
import { tlv } from '../wire/isakmp/attributes.js';
import { transactionAttributes as types } from '../wire/isakmp/numbers.js';
import type { AttributesPayload } from '../wire/isakmp/payloads.js';
import { type Configuration, readConfiguration } from '../wire/isakmp/transaction.js';
import { type ClientSession, failSession, finish } from './client-session.js';
import type { Context } from './context.js';
import type { EstablishedMainMode } from './main-mode.js';
import { answer, ask, type TransactionRequest } from './transaction.js';

/** What we ask for besides the address. */
const wanted = [
  types.INTERNAL_IP4_NETMASK,
  types.INTERNAL_IP4_DNS,
  types.INTERNAL_IP4_NBNS,
  types.INTERNAL_ADDRESS_EXPIRY,
  types.INTERNAL_IP4_SUBNET,
  types.APPLICATION_VERSION,
  types.UNITY_BANNER,
  types.UNITY_DEF_DOMAIN,
  types.UNITY_SPLIT_INCLUDE,
] as const;

/** Asks for an address: the one in use with this gateway already, if there is one. */
export function requestConfiguration(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
): void {
  const inUse =
    mainMode.policy.modeConfig?.address ??
    context.mainModes.ofPeer(mainMode.peer).find(other => other.client?.configuration?.address !== undefined)
      ?.client?.configuration?.address;
  const empty = new Uint8Array(0);
  const address = inUse === undefined ? empty : addressBytes(inUse);
  const attributes = [tlv(types.INTERNAL_IP4_ADDRESS, address), ...wanted.map(type => tlv(type, empty))];
  ask(context, mainMode, client, attributes, () =>
    failSession(context, mainMode, client, {
      point: 'peer',
      reason: 'no-response',
      text: `${mainMode.peer} did not answer when asked for an address (mode-config)`,
      message: 'transaction',
    }),
  );
}

/** The gateway's answer to our request. */
export function receiveReply(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  { attributes }: AttributesPayload,
): void {
  if (client.stage !== 'mode-config') return;
  try {
    take(context, mainMode, client, readConfiguration(attributes));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    // Only the gateway itself can have said it, and it will not say anything else.
    const text = `the configuration from ${mainMode.peer} cannot be read: ${error.message}`;
    failSession(context, mainMode, client, {
      point: 'me',
      reason: 'malformed',
      text,
      message: 'transaction',
    });
  }
}

/** The gateway sets what it wants us to have. It is acknowledged type by type, and used if we are waiting for it. */
export function receiveSet(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  request: TransactionRequest,
): void {
  const configuration = readConfiguration(request.payload.attributes);
  const acknowledged = request.payload.attributes.map(({ type }) => tlv(type, new Uint8Array(0)));
  answer(context, mainMode, client, request, acknowledged);
  if (client.stage === 'mode-config') take(context, mainMode, client, configuration);
  // Some gateways set before they say that the user is accepted.
  else if (client.stage === 'xauth' && configuration.address !== undefined)
    client.configuration = configuration;
}

function take(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  configuration: Configuration,
): void {
  const { peer } = mainMode;
  const { address } = configuration;
  if (address === undefined || !isUsable(address) || address === peer) {
    const text =
      address === undefined
        ? `${peer} assigned no address`
        : `${peer} assigned ${address}, which no host can have`;
    failSession(context, mainMode, client, {
      point: 'peer',
      reason: 'no-address',
      text,
      message: 'transaction',
    });
  } else {
    client.configuration = configuration;
    const servers = configuration.dnsServers.join(' ');
    const detail = `address ${address}${servers === '' ? '' : `, DNS ${servers}`}`;
    context.progress(peer, 'note', 'mode-config', detail);
    finish(context, mainMode, client);
  }
}

/** Whether a host can have an address as its own: no wildcard, loopback, multicast or reserved one. */
function isUsable(address: IpAddress): boolean {
  const bytes = addressBytes(address);
  const [first = 0] = bytes;
  if (bytes.length === 4) return first !== 0 && first !== 127 && first < 224;
  return first !== 0xff && bytes.subarray(0, -1).some(byte => byte !== 0);
}
