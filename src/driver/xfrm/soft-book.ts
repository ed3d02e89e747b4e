import { xfrmRequests } from '../../wire/netlink/xfrm.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type { SoftSa, SoftSaStatistics } from '../api.js';
import type { XfrmSocket } from './netlink.js';

interface Entry {
  readonly soft: SoftSa;
  /** Seen in use at these times by the kernel's clock, and how often that was another. */
  readonly sent: { atSeconds: number; times: number };
  readonly received: { atSeconds: number; times: number };
}

/** The soft SAs in force. */
export class SoftBook {
  readonly #socket: Pick<XfrmSocket, 'ask'>;
  readonly #entries = new Map<string, Entry>();

  constructor(socket: Pick<XfrmSocket, 'ask'>) {
    this.#socket = socket;
  }

  add(soft: SoftSa): void {
    if (this.#entries.has(keyOf(soft))) return;
    const unused = () => ({ atSeconds: 0, times: 0 });
    this.#entries.set(keyOf(soft), { soft, sent: unused(), received: unused() });
  }

  /** Whether it was there. */
  remove(soft: SoftSa): boolean {
    return this.#entries.delete(keyOf(soft));
  }

  all(): readonly SoftSa[] {
    return Array.from(this.#entries.values(), ({ soft }) => soft);
  }

  /** `policiesOf` says which policies let a soft SA's packets pass. */
  statistics(policiesOf: (soft: SoftSa) => readonly XfrmPolicy[]): readonly SoftSaStatistics[] {
    return Array.from(this.#entries.values(), ({ soft, sent, received }) => {
      const policies = policiesOf(soft);
      this.#note(
        sent,
        policies.filter(({ direction }) => direction === 'out'),
      );
      this.#note(
        received,
        policies.filter(({ direction }) => direction === 'in'),
      );
      return { ...soft, packetsSent: sent.times, packetsReceived: received.times };
    });
  }

  #note(use: Entry['sent'], policies: readonly XfrmPolicy[]): void {
    const times = policies.flatMap(policy =>
      (this.#socket.ask([xfrmRequests.getPolicy(policy)])[0]?.messages ?? []).map(message =>
        message.kind === 'policy' ? message.policy.usedAtSeconds : 0,
      ),
    );
    const latest = Math.max(0, ...times);
    if (latest <= use.atSeconds) return;
    use.atSeconds = latest;
    use.times++;
  }
}

function keyOf({ filterId, local, peer }: SoftSa): string {
  return `${filterId} ${local} ${peer}`;
}
