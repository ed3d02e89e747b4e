/** The life of a main mode besides its messages: requests, complaints, establishment, failure, end. */
import { encryption, group, hash } from '../crypto/algorithms.js';
import { type CertificateVerdict, printTest } from '../crypto/certificates/chain.js';
import type { IkeDatagram } from '../driver/api.js';
import { hostRange, type Selector } from '../wire/ip/selector.js';
import { summarisePayloads } from '../wire/isakmp/describe.js';
import { encodeMessage, type MessageHeader, type PayloadChain } from '../wire/isakmp/message.js';
import { exchangeTypes } from '../wire/isakmp/numbers.js';
import type { Payload } from '../wire/isakmp/payloads.js';
import type { AttributeMismatch, ExportedKeys, FailureReason, NegotiationFailure } from './api.js';
import type { Context } from './context.js';
import type { ExchangeError } from './exchange-error.js';
import { failure, printMismatches } from './failures.js';
import type { Incoming } from './incoming.js';
import type { EstablishedMainMode, MainMode, MainModeChoice, MainModeKeys } from './main-mode.js';
import { isEstablished } from './main-mode.js';
import { followPeer } from './peer-place.js';
import { Retransmission } from './retransmission.js';
import { explainSilence } from './undelivered.js';

/** The two ends of a main mode, and what is known of the peer's certificate. */
type Hosts = Pick<MainMode, 'local' | 'peer' | 'peerVerdict'>;

/**
 * How long an unauthenticated complaint about our request may stand before we believe it: long enough for two
 * retransmissions, so that a forged one does not beat the peer's real answer.
 */
const complaintGraceMs = 3_000;

/** Bytes of our nonces, in every exchange. */
export const nonceBytes = 32;

/** The header of a phase-1 message. */
export function mainModeHeader(
  mainMode: Pick<MainMode, 'initiatorCookie' | 'responderCookie' | 'exchange'>,
): MessageHeader {
  return {
    initiatorCookie: mainMode.initiatorCookie,
    responderCookie: mainMode.responderCookie,
    exchangeType: exchangeTypes[mainMode.exchange === 'main' ? 'Main mode' : 'Aggressive mode'],
    flags: 0,
    messageId: 0,
  };
}

/** A clear phase-1 message. */
export function clearMessage(
  mainMode: Parameters<typeof mainModeHeader>[0],
  payloads: readonly Payload[],
): Uint8Array {
  return encodeMessage(mainModeHeader(mainMode), payloads);
}

/** Sends a request of the initiator until its answer has been accepted, or `noAnswer` says why there was none. */
export function sendMainModeRequest(
  context: Context,
  mainMode: MainMode,
  name: string,
  bytes: Uint8Array,
  payloads: readonly Payload[],
  noAnswer: () => NegotiationFailure,
): void {
  mainMode.request?.stop();
  delete mainMode.complaint;
  delete mainMode.undelivered;
  mainMode.request = new Retransmission(
    context,
    retransmission => context.send(mainMode, bytes, { name, payloads, retransmission }),
    () => failMainMode(context, mainMode, mainMode.complaint?.failure ?? explained(mainMode, noAnswer())),
  );
}

/** A failure for want of an answer, with what ICMP said meanwhile. */
function explained(mainMode: MainMode, silence: NegotiationFailure): NegotiationFailure {
  return { ...silence, text: explainSilence(mainMode, silence.text) };
}

/** Answers a request, now and whenever it is repeated; as Windows 2003, also by itself until the next one comes. */
export function answerMainMode(
  context: Context,
  mainMode: MainMode,
  request: Uint8Array,
  name: string,
  bytes: Uint8Array,
  payloads: readonly Payload[],
): void {
  let retransmission = 0;
  const reply = () => context.send(mainMode, bytes, { name, payloads, retransmission: retransmission++ });
  mainMode.duplicates.remember(request, context.nowMs, reply);
  mainMode.request?.stop();
  if (context.options.vendorProfile === 'windows-2003')
    mainMode.request = new Retransmission(context, reply, () => {});
  else reply();
}

/**
 * A message has arrived that only the side we have exchanged keys with can have sent: it is alive, and where a NAT is in
 * between it is where the message came from. Its id is not accepted again.
 */
export function acceptMessage(
  context: Context,
  mainMode: MainMode,
  { header, datagram }: Incoming,
  name: string,
  chain: PayloadChain,
): void {
  const payloads = chain.payloads.map(({ payload }) => payload);
  context.progress(mainMode.peer, 'received', name, summarisePayloads(payloads), datagram.bytes.length);
  mainMode.lastInboundAtMs = context.nowMs;
  context.noteMessageId(mainMode, header.messageId);
  // The last message of aggressive mode has no answer of its own.
  if (isEstablished(mainMode)) mainMode.request?.stop();
  if (!mainMode.nat.peer) return;
  const { peer, peerAddress: address, peerPort: port } = mainMode;
  moveTo(mainMode, datagram);
  // Who exchanged keys need not be who it says before it has proved that: until then it moves nothing but its own.
  if (isEstablished(mainMode)) followPeer(context, peer, { address, port }, datagram.peer);
}

/** From now on messages go where this one came from. */
export function moveTo(mainMode: MainMode, { local, peer }: IkeDatagram): void {
  mainMode.localPort = local.port;
  mainMode.peerAddress = peer.address;
  mainMode.peerPort = peer.port;
}

/** A failure of this main mode. */
export function mainModeFailure(
  { local, peer }: Hosts,
  facts: {
    readonly point: 'me' | 'peer';
    readonly reason: FailureReason;
    readonly text: string;
    readonly message?: string;
    readonly notifyType?: number;
    readonly mismatches?: readonly AttributeMismatch[];
    readonly verdict?: CertificateVerdict;
  },
): NegotiationFailure {
  return failure({ mode: 'main', local, peer, ...facts });
}

/** The failure an unacceptable message means. */
export function failureOfError(
  hosts: Hosts,
  error: ExchangeError,
  message: string,
  verdict?: CertificateVerdict,
): NegotiationFailure {
  const { mismatches } = error;
  const detail = mismatches.length > 0 ? `: ${printMismatches(mismatches)}` : '';
  return mainModeFailure(hosts, {
    point: 'me',
    reason: error.reason,
    text: `${message} from ${hosts.peer} refused: ${error.message}${detail}`,
    message,
    mismatches,
    ...(verdict === undefined || error.reason !== 'certificate-refused' ? {} : { verdict }),
  });
}

/**
 * Something unauthenticated speaks against our request. It is remembered as the likely reason; when the peer says
 * it again after a retransmission, or nothing better comes within the grace time, the main mode has failed.
 */
export function complain(context: Context, mainMode: MainMode, complaint: NegotiationFailure): void {
  const transmissions = mainMode.request?.transmissions ?? 0;
  const earlier = mainMode.complaint;
  if (earlier !== undefined) {
    if (transmissions > earlier.transmissions) failMainMode(context, mainMode, earlier.failure);
    return;
  }
  const remembered = { failure: complaint, transmissions };
  mainMode.complaint = remembered;
  context.progress(mainMode.peer, 'note', complaint.message ?? 'main mode', complaint.text);
  context.schedule(mainMode, context.nowMs + complaintGraceMs, () => {
    if (mainMode.complaint === remembered) failMainMode(context, mainMode, complaint);
  });
}

/** Ends a main mode that is not established. */
export function failMainMode(context: Context, mainMode: MainMode, reason: NegotiationFailure): void {
  auditFailure(context, mainMode, reason);
  context.progress(mainMode.peer, 'note', reason.message ?? 'main mode', reason.text);
  closeMainMode(context, mainMode);
  context.listener.mainModeFailed(mainMode, reason);
}

/** 545: the proof was wrong; 544: what was proved is not accepted. */
const identityEvents: Partial<Record<FailureReason, 544 | 545>> = {
  'preshared-keys-differ': 545,
  'authentication-failed': 545,
  'invalid-signature': 545,
  'xauth-failed': 545,
  'invalid-id': 544,
  'no-peer-certificate': 544,
  'certificate-refused': 544,
};

/** Counts a failure and writes its audit events: 544/545 for identity, 546 for a proposal, 547 always. */
export function auditFailure(context: Context, hosts: Hosts, reason: NegotiationFailure): void {
  const { local, peer } = hosts;
  const base = { local, peer, filter: mainModeFilter(hosts) };
  context.counters.negotiationFailures++;
  const id = identityEvents[reason.reason];
  if (id !== undefined) {
    context.counters.authenticationFailures++;
    const tests = (reason.certificateTests ?? []).filter(({ passed }) => !passed).map(printTest);
    const text = [reason.text, ...tests.slice(1)].join('; ');
    context.audit({ ...base, id, peerIdentity: auditIdentity(hosts), reason: text });
  }
  for (const { attribute, wanted, offered } of (reason.mismatches ?? []).slice(0, 8))
    context.audit({ ...base, id: 546, mode: 'main', attribute, expected: wanted, received: offered });
  context.audit({
    ...base,
    id: 547,
    mode: 'main',
    failurePoint: reason.point === 'me' ? 'Me' : 'Peer',
    failureReason: reason.text,
  });
}

/** Both sides are authenticated. */
export function establishMainMode(
  context: Context,
  mainMode: MainMode,
  choice: MainModeChoice,
  keys: MainModeKeys,
  lastBlock: Uint8Array,
  peerIdentity: string,
): void {
  const { method, lifetimeSeconds } = choice;
  mainMode.request?.stop();
  delete mainMode.complaint;
  const expiresAtMs = context.nowMs + lifetimeSeconds * 1_000;
  mainMode.state = {
    stage: 'established',
    choice,
    keys,
    lastBlock,
    peerIdentity,
    establishedAtMs: context.nowMs,
    expiresAtMs,
  };
  mainMode.lastInboundAtMs = context.nowMs;
  context.mainModes.setEstablished(mainMode);
  context.unfinishedFragments.release(mainMode.fragments);
  context.counters.mainModes++;
  const { local, peer } = mainMode;
  context.audit({
    id: 541,
    mode: 'main',
    local,
    peer,
    peerIdentity: auditIdentity(mainMode, peerIdentity),
    filter: mainModeFilter(mainMode),
    parameters: {
      encryption: encryption(method.encryption).name,
      hash: hash(method.hash).name,
      group: group(method.group).name,
      lifetimeSeconds,
    },
  });
  context.progress(
    peer,
    'note',
    'main mode',
    `established with ${peerIdentity}: ${printMainModeMethod(method)}, ${lifetimeSeconds} s`,
  );
  exportMainModeKeys(context, mainMode, keys);
  if (isEstablished(mainMode)) context.listener.mainModeEstablished(mainMode);
}

/** Tells who watches the key of a main mode, once: before it is established, so that a failing proof can be read too. */
export function exportMainModeKeys(context: Context, mainMode: MainMode, keys: MainModeKeys): void {
  if (context.options.exportKeys !== true || mainMode.keysExported) return;
  mainMode.keysExported = true;
  context.emit({ kind: 'keys', keys: exportedMainModeKeys(mainMode, keys) });
}

/** The key that decrypts the messages of a main mode. */
export function exportedMainModeKeys(
  { initiatorCookie }: MainMode,
  { method, cipherKey }: MainModeKeys,
): ExportedKeys {
  return { kind: 'ike', initiatorCookie, encryptionKey: cipherKey, encryption: method.encryption };
}

/** Forgets a main mode and everything that ran under it; says nothing to the peer. */
export function closeMainMode(context: Context, mainMode: MainMode): void {
  mainMode.request?.stop();
  mainMode.client?.request?.stop();
  for (const request of mainMode.pendingDeletes.values()) request.stop();
  for (const timer of mainMode.timers) context.timers.cancel(timer);
  mainMode.timers.clear();
  context.mainModes.remove(mainMode);
  context.unfinishedFragments.release(mainMode.fragments);
  mainMode.state = { stage: 'closed' };
  context.listener.mainModeClosed(mainMode);
}

/** Ends an established main mode, with its audit event. */
export function endMainMode(context: Context, mainMode: EstablishedMainMode, reason: string): void {
  const { local, peer } = mainMode;
  context.audit({ id: 543, local, peer, filter: mainModeFilter(mainMode), reason });
  context.progress(peer, 'note', 'main mode', `ended: ${reason}`);
  closeMainMode(context, mainMode);
}

/** Traffic between the two hosts: what a main mode's audit events show as its filter. */
export function mainModeFilter({ local, peer }: Hosts): Selector {
  return {
    source: hostRange(local),
    destination: hostRange(peer),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
}

/** `Preshared key ID. Peer IP Address: 192.0.2.20`, with the identity between when it is not that address. */
export function auditIdentity({ peer, peerVerdict }: Hosts, identity?: string): string {
  const leaf = peerVerdict?.chain[0];
  if (leaf !== undefined) {
    const root = peerVerdict?.chain.at(-1);
    return [
      'Certificate based Identity.',
      `Peer Subject ${leaf.subject.text}.`,
      `Peer Issuing Certificate Authority ${leaf.issuer.text}.`,
      `Root Certificate Authority ${root?.subject.text ?? ''}.`,
      `Peer IP Address: ${peer}`,
    ].join(' ');
  }
  const name = identity === undefined || identity === peer ? '' : ` ${identity}.`;
  return `Preshared key ID.${name} Peer IP Address: ${peer}`;
}

/** `3des-sha1-modp1024`. */
export function printMainModeMethod(method: MainModeChoice['method']): string {
  return `${method.encryption}-${method.hash}-${group(method.group).name}`;
}
