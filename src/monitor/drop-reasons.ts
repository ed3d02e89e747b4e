import type { DropReason } from '../driver/api.js';

/** What a reason to drop packets means, and what to do about it: sentences. */
export interface DropReasonText {
  readonly meaning: string;
  readonly next: string;
}

/** Every reason, in the order in which reports list them. */
export const dropReasons: Readonly<Record<DropReason, DropReasonText>> = {
  blocked: {
    meaning: 'A filter whose action is to block covers the packet.',
    next: 'Where the traffic is wanted, change that filter; "ipseckit policy explain" says which one decides.',
  },
  'clear-but-secured': {
    meaning: 'A packet was in clear although a filter demands protection.',
    next: 'See that the peer has a rule for this traffic too, or let the rule accept unsecured communication. What leaves here must not be changed by NAT of this host first: exempt it there.',
  },
  'no-sa-queue-full': {
    meaning:
      'More packets waited for a negotiation than are kept: for a filter and peer, where the flow with most gives way, or over all, where the filter with most does.',
    next: 'Nothing once the negotiation succeeds: senders repeat. Otherwise look for a program that sends to many addresses, and "ipseckit events --id 547" says why it does not.',
  },
  'negotiation-failed': {
    meaning: 'A packet waited for SAs, and their negotiation failed.',
    next: '"ipseckit events --id 547" says why.',
  },
  'bad-spi': {
    meaning: 'ESP or AH came for an SA that is not here: it was deleted, or this host has been restarted.',
    next: 'It ends when the peer negotiates again; if it does not, delete the SAs at the peer.',
  },
  replay: {
    meaning: 'A packet came a second time, or so late that the replay window had moved on.',
    next: 'A few are normal where the network reorders packets. Many are a replayed capture, or a peer that has started its sequence numbers anew: negotiate again.',
  },
  'not-authenticated': {
    meaning:
      'The ICV is wrong: the packet was changed or forged on its way, or the peer computes it differently.',
    next: 'If no packet of the SA ever was genuine, compare algorithms: some peers cut HMAC-SHA-256 to 96 bits (strongSwan: "sha256_96 = no" at the peer); where that is it, the SA\'s note says so. SHA1 is cut alike everywhere.',
  },
  'not-decrypted': {
    meaning:
      'What was decrypted is no packet: the keys differ, and the SA has no integrity that would have told.',
    next: 'Negotiate again, with an integrity algorithm.',
  },
  malformed: {
    meaning: 'The packet breaks its own format, or its length is none that the SA can give.',
    next: 'Look at it in a capture ("ipseckit capture"): the sender, or something on the way, is broken.',
  },
  fragment: {
    meaning: 'Fragments that never made a whole packet, overlapped, or stand where only whole packets may.',
    next: 'Look for loss of fragments on the way; a smaller MTU at the sender avoids them.',
  },
  'selector-mismatch': {
    meaning:
      'The packet is genuine, but not of the traffic, the hosts or the encapsulation its SA was negotiated for, or another filter has it.',
    next: 'Compare the filters of both sides: addresses, masks, protocol and ports must mirror each other.',
  },
  'client-gone': {
    meaning:
      'An answer to a client behind a NAT, at a port that stood for its own, whose SAs are gone: in clear it must not go.',
    next: 'Nothing: when the client comes back, it has the same port again.',
  },
  'too-big': {
    meaning:
      'The packet must not be fragmented and does not fit the path once it is protected; its sender was told.',
    next: 'Nothing where senders heed that ICMP message; otherwise let it pass, or lower their MTU.',
  },
  expired: {
    meaning: 'The lifetime of the SA was over.',
    next: 'Nothing if new SAs are there; otherwise "ipseckit events" says why they are not.',
  },
  'send-failed': {
    meaning: 'The kernel did not take a packet.',
    next: 'Check the route to the peer ("ip route get"), and other firewall rules on this host.',
  },
};

/** Reasons in the order of reports. */
export const dropReasonNames = Object.keys(dropReasons) as readonly DropReason[];
