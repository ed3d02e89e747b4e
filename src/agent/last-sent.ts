import type { NegotiationStep } from '../ike/api.js';
import type { IpAddress } from '../wire/ip/address.js';

/** Anyone can make us answer, so only so many peers are remembered. */
const rememberedPeers = 256;

/** What was last sent to a peer, and what ICMP has said of it since the peer was last heard. */
export interface LastMessage {
  readonly sent: NegotiationStep;
  readonly undelivered?: NegotiationStep;
}

/** The last IKE message sent to each of the latest peers: how far a negotiation came. */
export class LastSent {
  readonly #steps = new Map<IpAddress, LastMessage>();

  step(step: NegotiationStep): void {
    const known = this.#steps.get(step.peer);
    if (step.direction === 'received' && known !== undefined) {
      const { sent } = known;
      this.#steps.set(step.peer, step.undelivered === undefined ? { sent } : { sent, undelivered: step });
    }
    if (step.direction !== 'sent') return;
    this.#steps.delete(step.peer);
    this.#steps.set(step.peer, { ...known, sent: step });
    const [oldest] = this.#steps.keys();
    if (oldest !== undefined && this.#steps.size > rememberedPeers) this.#steps.delete(oldest);
  }

  to(peer: IpAddress): LastMessage | undefined {
    return this.#steps.get(peer);
  }
}
