/** Mode-config as client (draft-dukes-ike-mode-cfg-02): the address and the servers a gateway gives us. */
import { WireError } from '../wire/bytes.js';
import { addressBytes, addressFamily, type IpAddress } from '../wire/ip/address.js';
import { isLinkLocal } from '../wire/ip/ip.js';
import { tlv } from '../wire/isakmp/attributes.js';
import { transactionAttributes as types } from '../wire/isakmp/numbers.js';
import type { AttributesPayload } from '../wire/isakmp/payloads.js';
import {
  addressAttribute,
  assignedAddresses,
  type Configuration,
  familyAttributes,
  readConfiguration,
} from '../wire/isakmp/transaction.js';
import { type ClientSession, failSession, finish } from './client-session.js';
import type { Context } from './context.js';
import type { EstablishedMainMode } from './main-mode.js';
import { answer, ask, type TransactionRequest } from './transaction.js';

/** What we ask for besides addresses: what has a meaning for one family, and what has for any. */
const wanted = {
  4: [
    types.INTERNAL_IP4_NETMASK,
    types.INTERNAL_IP4_DNS,
    types.INTERNAL_IP4_NBNS,
    types.INTERNAL_IP4_SUBNET,
    types.UNITY_SPLIT_INCLUDE,
  ],
  6: [types.INTERNAL_IP6_DNS, types.INTERNAL_IP6_NBNS, types.INTERNAL_IP6_SUBNET],
  any: [types.INTERNAL_ADDRESS_EXPIRY, types.APPLICATION_VERSION, types.UNITY_BANNER, types.UNITY_DEF_DOMAIN],
} as const;

/** Asks for an address of each family: the one in use with this gateway already, if there is one. */
export function requestConfiguration(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
): void {
  const { families = [4], inUse = [] } = mainMode.policy.modeConfig ?? {};
  const known = [
    ...inUse,
    ...context.mainModes
      .ofPeer(mainMode.peer)
      .flatMap(({ client: other }) =>
        other?.configuration === undefined ? [] : assignedAddresses(other.configuration),
      ),
  ];
  const empty = (type: number) => tlv(type, new Uint8Array(0));
  const addresses = families.map(family => {
    const address = known.find(one => addressFamily(one) === family);
    return address === undefined ? empty(familyAttributes[family].address) : addressAttribute(address);
  });
  const others = [...families.flatMap(family => wanted[family]), ...wanted.any];
  ask(context, mainMode, client, [...addresses, ...others.map(empty)], () =>
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
    acceptConfiguration(context, mainMode, client, readConfiguration(attributes));
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
  if (client.stage === 'mode-config') acceptConfiguration(context, mainMode, client, configuration);
  // Some gateways set before they say that the user is accepted.
  else if (client.stage === 'xauth' && assignedAddresses(configuration).length > 0)
    client.configuration = configuration;
}

/** Uses what the gateway gives, unless nobody could. */
export function acceptConfiguration(
  context: Context,
  mainMode: EstablishedMainMode,
  client: ClientSession,
  configuration: Configuration,
): void {
  const refusal = whyUnusable(mainMode, configuration);
  if (refusal !== undefined) {
    const text = `${mainMode.peer} assigned ${refusal}`;
    failSession(context, mainMode, client, {
      point: 'peer',
      reason: 'no-address',
      text,
      message: 'transaction',
    });
  } else {
    client.configuration = configuration;
    const servers = configuration.dnsServers.join(' ');
    const addresses = assignedAddresses(configuration).join(' and ');
    const detail = `address ${addresses}${servers === '' ? '' : `, DNS ${servers}`}`;
    context.progress(mainMode.peer, 'note', 'mode-config', detail);
    finish(context, mainMode, client);
  }
}

/** What is wrong with the addresses assigned; `undefined` when nothing is. */
function whyUnusable(
  { peer, policy }: EstablishedMainMode,
  configuration: Configuration,
): string | undefined {
  const addresses = assignedAddresses(configuration);
  if (addresses.length === 0) return 'no address';
  const unusable = addresses.find(address => !isUsable(address) || address === peer);
  if (unusable !== undefined) return `${unusable}, which no host can have`;
  // What goes through the tunnel by now must not begin to go past it.
  const families = addresses.map(addressFamily);
  const missing = policy.modeConfig?.inUse?.find(used => !families.includes(addressFamily(used)));
  return missing && `no IPv${addressFamily(missing)} address in the place of ${missing}`;
}

/** Whether a host can have an address as its own everywhere: no wildcard, loopback, multicast, reserved or link-local one. */
function isUsable(address: IpAddress): boolean {
  const bytes = addressBytes(address);
  const [first = 0] = bytes;
  if (bytes.length === 4) return first !== 0 && first !== 127 && first < 224;
  // ::/64 has the wildcard, loopback, and IPv4 addresses written as IPv6 in it.
  return first !== 0xff && !isLinkLocal(address) && bytes.subarray(0, 8).some(byte => byte !== 0);
}
