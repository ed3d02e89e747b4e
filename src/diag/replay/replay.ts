/** A capture fed through the eyes of IKE, message by message: who negotiated with whom, what was decided, and why it failed. */
import type { Secret } from '../../crypto/secret.js';
import { toHex, WireError } from '../../wire/bytes.js';
import { decodeHeader, type IsakmpHeader } from '../../wire/isakmp/message.js';
import { certificatesSeen, type Judging } from './certificates.js';
import { type CapturedDatagram, ipsecTraffic } from './datagrams.js';
import type { IkeKeys } from './key-table.js';
import { NegotiationReplay } from './negotiation.js';
import { type PolicyAtHand, policyViews } from './policy-view.js';
import { provedWith } from './preshared-proof.js';
import type { ReplayNegotiation, ReplayReport } from './report.js';

/** What is known besides the capture. */
export interface ReplayKnowledge {
  readonly keys?: IkeKeys;
  readonly presharedKey?: Secret<string>;
  readonly policy?: PolicyAtHand;
  /** Judges the certificates that can be read. */
  readonly judging?: Judging;
}

/** Where the version of a message stands, of every ISAKMP and IKE. */
const versionAt = 17;

/** Negotiations looked into; a flood of first messages has more. */
const mostNegotiations = 1_000;

/** Notes of one kind. */
const mostComplaints = 20;

/** Replays a capture (pcap or pcapng). Throws `WireError` when it is none at all. */
export function replay(file: Uint8Array, knowledge: ReplayKnowledge = {}): ReplayReport {
  const traffic = ipsecTraffic(file);
  const negotiations = new Map<string, NegotiationReplay>();
  const complaints: string[] = [];
  const beyond = new Set<string>();
  let otherVersions = 0;
  for (const datagram of traffic.datagrams) {
    if ((datagram.bytes[versionAt] ?? 0) >>> 4 === 2) {
      otherVersions++;
      continue;
    }
    const header = headerOf(datagram, complaints);
    if (header === undefined) continue;
    const cookie = toHex(header.initiatorCookie);
    const known = negotiations.get(cookie);
    if (known === undefined && negotiations.size >= mostNegotiations) {
      beyond.add(cookie);
      continue;
    }
    const negotiation = known ?? new NegotiationReplay(datagram, header, knowledge.keys?.get(cookie));
    negotiations.set(cookie, negotiation);
    negotiation.add(datagram, header);
  }
  const startedAtMs = Number((traffic.startedAtNs ?? 0n) / 1_000_000n);
  const startedAt = new Date(startedAtMs);
  return {
    packets: traffic.packets,
    // A damaged file can name any time.
    ...(traffic.startedAtNs === undefined || Number.isNaN(startedAt.getTime())
      ? {}
      : { startedAt: startedAt.toISOString() }),
    negotiations: [...negotiations.values()].map(negotiation => ({
      ...negotiation.finish(traffic.endsAtSeconds, traffic.flows),
      certificates: certificatesSeen(negotiation.phase1, startedAtMs, knowledge.judging),
      proofs: knowledge.presharedKey === undefined ? [] : proofs(negotiation, knowledge.presharedKey),
      policyViews:
        knowledge.policy === undefined
          ? []
          : policyViews(negotiation, knowledge.policy, startedAtMs, knowledge.judging),
    })),
    protectedFlows: traffic.flows,
    notes: [
      ...traffic.notes,
      ...atMost(complaints, mostComplaints, 'packets that are no IKE message'),
      ...(otherVersions > 0 ? [`${otherVersions} messages of IKEv2 are not looked into`] : []),
      ...(beyond.size > 0
        ? [`${beyond.size} negotiations after the first ${mostNegotiations} are not looked into`]
        : []),
      ...(traffic.datagrams.length === 0
        ? ['there is no IKE message (UDP port 500 or 4500) in the capture']
        : []),
    ],
  };
}

function atMost(list: readonly string[], most: number, what: string): readonly string[] {
  return list.length <= most ? list : [...list.slice(0, most), `${list.length - most} more ${what}`];
}

function headerOf({ bytes, packet }: CapturedDatagram, complaints: string[]): IsakmpHeader | undefined {
  try {
    return decodeHeader(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    complaints.push(`packet ${packet} is no IKE message: ${error.message}`);
    return undefined;
  }
}

function proofs({ phase1 }: NegotiationReplay, key: Secret<string>): ReplayNegotiation['proofs'] {
  return (['initiator', 'responder'] as const).flatMap(by => {
    const matches = provedWith(phase1, by, key);
    if (matches === undefined) return [];
    return [
      { by, matches, text: `the ${by} proved itself with ${matches ? 'this' : 'another'} preshared key` },
    ];
  });
}
