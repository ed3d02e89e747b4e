import type { NegotiationStep } from '../ike/api.js';
import type { IpAddress } from '../wire/ip/address.js';

/** Anyone can make us answer, so only so many peers are remembered. */
const rememberedPeers = 256;

/** The last IKE message sent to each of the latest peers: how far a negotiation came. */
export class LastSent {
  readonly #steps = new Map<IpAddress, NegotiationStep>();

  step(step: NegotiationStep): void {
    if (step.direction !== 'sent') return;
    this.#steps.delete(step.peer);
    this.#steps.set(step.peer, step);
    const [oldest] = this.#steps.keys();
    if (oldest !== undefined && this.#steps.size > rememberedPeers) this.#steps.delete(oldest);
  }

  to(peer: IpAddress): NegotiationStep | undefined {
    return this.#steps.get(peer);
  }
}
