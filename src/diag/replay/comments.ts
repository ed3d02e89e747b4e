/** Comments for the IKE packets of a capture while it is made: what each message is and what it decided, as far as it is in clear. */
import { toHex, WireError } from '../../wire/bytes.js';
import { decodeHeader } from '../../wire/isakmp/message.js';
import { type CapturedDatagram, DatagramCollector } from './datagrams.js';
import { NegotiationReplay } from './negotiation.js';

/** Negotiations remembered; the oldest go first. */
const mostNegotiations = 1_000;
/** Messages of each that are recognised when they come again. */
const mostMessages = 50;
const longestCommentBytes = 1_000;

export class IkeCommentator {
  readonly #negotiations = new Map<string, NegotiationReplay>();
  #collector = new DatagramCollector();

  /** The comments for an IP packet: none when it holds no whole IKE message. Keeps a view of it. */
  comment(ip: Uint8Array, timestampNs: bigint): string[] {
    this.#collector.add(ip, timestampNs, false, undefined);
    return this.#collector.takeDatagrams().flatMap(datagram => this.#describe(datagram));
  }

  #describe(datagram: CapturedDatagram): string[] {
    try {
      const header = decodeHeader(datagram.bytes);
      const cookie = toHex(header.initiatorCookie);
      const negotiation =
        this.#negotiations.get(cookie) ?? new NegotiationReplay(datagram, header, undefined, mostMessages);
      this.#negotiations.set(cookie, negotiation);
      const [oldest] = this.#negotiations.keys();
      if (this.#negotiations.size > mostNegotiations && oldest !== undefined)
        this.#negotiations.delete(oldest);
      const { name, payloads = 'encrypted', decisions, retransmissions } = negotiation.add(datagram, header);
      if (retransmissions.length > 0) return [`${name}: sent again`];
      return [[`${name}: ${payloads}`, ...decisions].join('; ').slice(0, longestCommentBytes)];
    } catch (error) {
      if (error instanceof WireError) return [];
      throw error;
    }
  }
}
