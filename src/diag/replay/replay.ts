/** A capture fed through the eyes of IKE, message by message: who negotiated with whom, what was decided, and why it failed. */

import { presharedSkeyid } from '../../crypto/prf.js';
import type { Secret } from '../../crypto/secret.js';
import { identityHash } from '../../ike/main-mode-keys.js';
import { bytesEqual, toHex, WireError } from '../../wire/bytes.js';
import { decodeHeader, type IsakmpHeader } from '../../wire/isakmp/message.js';
import { type CapturedDatagram, ipsecTraffic } from './datagrams.js';
import type { IkeKeys } from './key-table.js';
import { NegotiationReplay } from './negotiation.js';
import { type PolicyAtHand, policyViews } from './policy-view.js';
import type { ReplayNegotiation, ReplayReport, Role } from './report.js';

/** What is known besides the capture. */
export interface ReplayKnowledge {
  readonly keys?: IkeKeys;
  readonly presharedKey?: Secret<string>;
  readonly policy?: PolicyAtHand;
}

/** Where the version of a message stands, of every ISAKMP and IKE. */
const versionAt = 17;

/** Replays a capture (pcap or pcapng). Throws `WireError` when it is none at all. */
export function replay(file: Uint8Array, known: ReplayKnowledge = {}): ReplayReport {
  const traffic = ipsecTraffic(file);
  const negotiations = new Map<string, NegotiationReplay>();
  const notes = [...traffic.notes];
  let otherVersions = 0;
  for (const datagram of traffic.datagrams) {
    if ((datagram.bytes[versionAt] ?? 0) >>> 4 === 2) {
      otherVersions++;
      continue;
    }
    const header = headerOf(datagram, notes);
    if (header === undefined) continue;
    const cookie = toHex(header.initiatorCookie);
    const negotiation =
      negotiations.get(cookie) ?? new NegotiationReplay(datagram, header, known.keys?.get(cookie));
    negotiations.set(cookie, negotiation);
    negotiation.add(datagram, header);
  }
  if (otherVersions > 0) notes.push(`${otherVersions} messages of IKEv2 are not looked into`);
  if (traffic.datagrams.length === 0)
    notes.push('there is no IKE message (UDP port 500 or 4500) in the capture');
  return {
    packets: traffic.packets,
    ...(traffic.startedAtNs === undefined
      ? {}
      : { startedAt: new Date(Number(traffic.startedAtNs / 1_000_000n)).toISOString() }),
    negotiations: [...negotiations.values()].map(negotiation => ({
      ...negotiation.finish(traffic.endsAtSeconds, traffic.flows),
      proofs: known.presharedKey === undefined ? [] : proofs(negotiation, known.presharedKey),
      policyViews: known.policy === undefined ? [] : policyViews(negotiation, known.policy),
    })),
    protectedFlows: traffic.flows,
    notes,
  };
}

function headerOf({ bytes, packet }: CapturedDatagram, notes: string[]): IsakmpHeader | undefined {
  try {
    return decodeHeader(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    notes.push(`packet ${packet} is no IKE message: ${error.message}`);
    return undefined;
  }
}

/** Whether HASH_I and HASH_R were made with a preshared key: neither takes the Diffie-Hellman secret to check. */
function proofs(negotiation: NegotiationReplay, key: Secret<string>): ReplayNegotiation['proofs'] {
  const { sides, method, offer, initiatorCookie, responderCookie } = negotiation.phase1;
  const { initiator, responder } = sides;
  if (method === undefined || offer === undefined) return [];
  if (initiator.nonce === undefined || responder.nonce === undefined) return [];
  if (initiator.publicValue === undefined || responder.publicValue === undefined) return [];
  const { hash } = method;
  const values = { initiator: initiator.publicValue, responder: responder.publicValue };
  const skeyid = presharedSkeyid(hash, Buffer.from(key.reveal(), 'utf8'), initiator.nonce, responder.nonce);
  return (['initiator', 'responder'] as const).flatMap((by: Role) => {
    const { id, proof } = sides[by];
    if (id === undefined || proof === undefined) return [];
    const cookies = { initiatorCookie, responderCookie };
    const expected = identityHash(cookies, by, { hash, skeyid }, values, offer.body, id.body);
    const matches = bytesEqual(expected, proof);
    const text = `the ${by} proved itself with ${matches ? 'this' : 'another'} preshared key`;
    return [{ by, matches, text }];
  });
}
