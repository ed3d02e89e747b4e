import { addressFamily, type IpAddress } from '../../wire/ip/address.js';
import { smallestIpv6Mtu } from '../../wire/ip/ipv6.js';

/** Smallest path MTU believed, from unauthenticated ICMP or a route: every host takes packets of this size. */
const smallestMtuBytes = { 4: 576, 6: smallestIpv6Mtu } as const;
/** What ICMP taught is forgotten after this time (RFC 1191: ten minutes). */
const learnedForMs = 600_000;
/** A route may change; asking the kernel for every packet costs too much. */
const routeForMs = 5_000;
/** More peers than this, and the oldest is forgotten. */
const maximumEntries = 4096;

export function smallestMtu(destination: IpAddress): number {
  return smallestMtuBytes[addressFamily(destination)];
}

interface Entry {
  readonly route: number;
  readonly routeUntilMs: number;
  readonly learned?: { readonly mtu: number; readonly untilMs: number };
}

/** Path MTUs to peers: the route's own, lowered by what routers on the way said. */
export class PathMtuCache {
  readonly #entries = new Map<IpAddress, Entry>();
  readonly #routeMtu: (destination: IpAddress) => number;

  /** `routeMtu` asks the kernel. */
  constructor(routeMtu: (destination: IpAddress) => number) {
    this.#routeMtu = routeMtu;
  }

  /** Path MTU in bytes. */
  get(destination: IpAddress, nowMs: number): number {
    let entry = this.#entries.get(destination);
    if (entry === undefined || nowMs >= entry.routeUntilMs) {
      const learned = entry?.learned;
      entry = {
        route: this.#routeMtu(destination),
        routeUntilMs: nowMs + routeForMs,
        ...(learned === undefined || nowMs >= learned.untilMs ? {} : { learned }),
      };
      this.#store(destination, entry);
    }
    return entry.learned === undefined ? entry.route : Math.min(entry.route, entry.learned.mtu);
  }

  /** A router said that packets to `destination` must be smaller; believed only of peers we send to. */
  learn(destination: IpAddress, mtuBytes: number, nowMs: number): void {
    const entry = this.#entries.get(destination);
    if (entry === undefined || mtuBytes >= entry.route) return;
    const mtu = Math.max(smallestMtu(destination), mtuBytes);
    this.#store(destination, { ...entry, learned: { mtu, untilMs: nowMs + learnedForMs } });
  }

  #store(destination: IpAddress, entry: Entry): void {
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= maximumEntries && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(destination, entry);
  }
}
