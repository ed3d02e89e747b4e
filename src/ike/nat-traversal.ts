/** NAT traversal (RFC 3947 and its drafts, ike.md 15): detection, the move to port 4500, original addresses. */
import type { HashId } from '../crypto/algorithms.js';
import { digest } from '../crypto/prf.js';
import type { Endpoint, SaPair } from '../driver/api.js';
import { ByteWriter, bytesEqual } from '../wire/bytes.js';
import {
  addressBytes,
  addressFamily,
  addressFromBytes,
  anyIpv4,
  type IpAddress,
} from '../wire/ip/address.js';
import { idTypes, natPayloadTypes } from '../wire/isakmp/numbers.js';
import type { NatDPayload, NatOaPayload } from '../wire/isakmp/payloads.js';
import type { QuickModePolicy } from './api.js';
import type { MainMode } from './main-mode.js';
import { natRevision } from './vendors.js';

export const ikePort = 500;
export const natPort = 4500;

/** A keepalive goes out this often from the side behind the NAT (RFC 3948 4; Windows: 20 s). */
export const keepaliveMs = 20_000;

/** One byte, without a non-ESP marker. */
export const keepalivePayload = Uint8Array.of(0xff);

/** The endpoints of a main mode as its next packet will have them. */
interface Path {
  readonly local: Endpoint;
  readonly peer: Endpoint;
}

function natHash(mainMode: MainMode, hash: HashId, { address, port }: Endpoint): Uint8Array {
  const bytes = new ByteWriter().bytes(addressBytes(address)).u16(port).finish();
  return digest(hash, mainMode.initiatorCookie, mainMode.responderCookie, bytes);
}

/**
 * The NAT-D payloads of main mode 3 or 4: destination, then source. A forced encapsulation sends a source nobody
 * has (`noise`), so that the peer sees a NAT.
 */
export function natDetectionPayloads(
  mainMode: MainMode,
  hash: HashId,
  { local, peer }: Path,
  noise: (length: number) => Uint8Array,
): NatDPayload[] {
  const revision = natRevision(mainMode.policy, mainMode.vendors);
  if (revision === undefined) return [];
  const type = natPayloadTypes[revision].natD;
  const source = natHash(mainMode, hash, local);
  const forced = mainMode.policy.natTraversal === 'forced';
  return [
    { kind: 'nat-d', type, data: natHash(mainMode, hash, peer) },
    { kind: 'nat-d', type, data: forced ? noise(source.length) : source },
  ];
}

/** Who is behind a NAT, from the NAT-D payloads of the peer and the addresses of the packet they came in. */
export function detectNat(
  mainMode: MainMode,
  hash: HashId,
  { local, peer }: Path,
  received: readonly NatDPayload[],
): MainMode['nat'] {
  const revision = natRevision(mainMode.policy, mainMode.vendors);
  const [destination, ...sources] = received.filter(
    ({ type }) => revision !== undefined && type === natPayloadTypes[revision].natD,
  );
  if (destination === undefined) return { local: false, peer: false };
  const expectedSource = natHash(mainMode, hash, peer);
  return {
    local:
      mainMode.policy.natTraversal === 'forced' ||
      !bytesEqual(destination.data, natHash(mainMode, hash, local)),
    peer: !sources.some(({ data }) => bytesEqual(data, expectedSource)),
  };
}

export function natDetected({ nat }: MainMode): boolean {
  return nat.local || nat.peer;
}

/** For people: what detection found. */
export function printNat({ local, peer }: MainMode['nat']): string {
  if (local && peer) return 'NAT detected: both sides are behind one';
  if (local) return 'NAT detected: we are behind it';
  return peer ? 'NAT detected: the peer is behind it' : 'no NAT detected';
}

/** The revision in use for encapsulation, when there is a NAT; `undefined` for plain ESP and AH. */
export function udpRevision(mainMode: MainMode): 'rfc' | 'draft02' | undefined {
  return natDetected(mainMode) ? natRevision(mainMode.policy, mainMode.vendors) : undefined;
}

/** The policy without the methods that cannot work through a NAT: AH protects the addresses a NAT changes. */
export function passableMethods(mainMode: MainMode, policy: QuickModePolicy): QuickModePolicy {
  if (!natDetected(mainMode)) return policy;
  return { ...policy, methods: policy.methods.filter(({ ah }) => ah === undefined) };
}

/** The UDP ports of encapsulated SAs: those of the IKE SA, which may not have moved if the peer did not. */
export function udpEncapsulation(mainMode: MainMode): SaPair['udpEncapsulation'] {
  if (udpRevision(mainMode) === undefined) return undefined;
  const moved = mainMode.localPort === natPort;
  return { localPort: natPort, peerPort: moved ? mainMode.peerPort : natPort };
}

/**
 * The NAT-OA payloads of quick mode 1 and 2 in transport mode: the initiator's address, then the responder's, as
 * the sender knows them; the drafts have the sender's alone.
 */
export function natOriginalPayloads(
  revision: 'rfc' | 'draft02',
  role: 'initiator' | 'responder',
  local: IpAddress,
  peer: IpAddress,
): NatOaPayload[] {
  const payload = (address: IpAddress): NatOaPayload => ({
    kind: 'nat-oa',
    type: natPayloadTypes[revision].natOa,
    idType: addressFamily(address) === 4 ? idTypes.IPV4_ADDR : idTypes.IPV6_ADDR,
    address: addressBytes(address),
  });
  if (revision === 'draft02') return [payload(local)];
  return role === 'initiator' ? [payload(local), payload(peer)] : [payload(peer), payload(local)];
}

/** What the peer's NAT-OA payloads say. 0.0.0.0 (a Windows 2003 responder behind NAT) says nothing. */
export function natOriginals(
  role: 'initiator' | 'responder',
  received: readonly NatOaPayload[],
): NonNullable<SaPair['natOriginal']> {
  const addresses = received.map(({ address }) => addressFromBytes(address));
  // A lone one is the sender's own.
  const [peer, local] = addresses.length > 1 && role === 'initiator' ? addresses.reverse() : addresses;
  return {
    ...(peer === undefined || peer === anyIpv4 ? {} : { peer }),
    ...(local === undefined || local === anyIpv4 ? {} : { local }),
  };
}
