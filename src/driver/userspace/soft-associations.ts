import type { IpAddress } from '../../wire/ip/address.js';
import type { PacketAddress } from '../../wire/ip/ip.js';
import type { DriverFilter, SoftSa, SoftSaStatistics } from '../api.js';
import { addressKey, addressTextKey } from '../packet-selector.js';

interface Entry {
  readonly soft: SoftSa;
  packetsSent: number;
}

/** The soft SAs in force: whose packets pass in clear although a filter wants them secured. */
export class SoftAssociations {
  readonly #entries = new Map<string, Entry>();
  /** Clear packets received between two hosts that have a soft SA. */
  readonly #received = new Map<string, number>();

  add(soft: SoftSa): void {
    if (this.#entries.has(entryKey(soft))) return;
    this.#entries.set(entryKey(soft), { soft, packetsSent: 0 });
    if (!this.#received.has(hostsKey(soft))) this.#received.set(hostsKey(soft), 0);
  }

  remove(soft: SoftSa): void {
    this.#entries.delete(entryKey(soft));
    const last = [...this.#entries.values()].every(other => hostsKey(other.soft) !== hostsKey(soft));
    if (last) this.#received.delete(hostsKey(soft));
  }

  /** Whether a packet that met this outbound filter goes out in clear; counts it. */
  passesOutbound(
    filter: DriverFilter,
    flow: { readonly source: PacketAddress; readonly destination: PacketAddress },
  ): boolean {
    if (this.#entries.size === 0 || !allowsClear(filter)) return false;
    const entry = this.#entries.get(
      `${filter.id} ${addressKey(flow.source)} ${addressKey(flow.destination)}`,
    );
    if (entry === undefined) return false;
    entry.packetsSent++;
    return true;
  }

  /** Whether clear packets that meet this inbound filter come in. */
  opensInbound(
    filter: DriverFilter,
    flow: { readonly source: PacketAddress; readonly destination: PacketAddress },
  ): boolean {
    if (this.#entries.size === 0 || !allowsClear(filter)) return false;
    return this.#received.has(`${addressKey(flow.destination)} ${addressKey(flow.source)}`);
  }

  /** Whether a clear packet that met this inbound filter comes in; counts it. */
  passesInbound(
    filter: DriverFilter,
    flow: { readonly source: PacketAddress; readonly destination: PacketAddress },
  ): boolean {
    if (this.#entries.size === 0 || !allowsClear(filter)) return false;
    const hosts = `${addressKey(flow.destination)} ${addressKey(flow.source)}`;
    const received = this.#received.get(hosts);
    if (received === undefined) return false;
    this.#received.set(hosts, received + 1);
    return true;
  }

  statistics(): readonly SoftSaStatistics[] {
    return Array.from(this.#entries.values(), ({ soft, packetsSent }) => ({
      ...soft,
      packetsSent,
      packetsReceived: this.#received.get(hostsKey(soft)) ?? 0,
    }));
  }
}

/** Transport filters only: a gateway that does not answer is no reason to send a tunnel's packets in clear. */
function allowsClear(filter: DriverFilter): boolean {
  return filter.allowFallback && filter.tunnelEndpoint === undefined;
}

function entryKey({ filterId, local, peer }: SoftSa): string {
  return `${filterId} ${addressTextKey(local)} ${addressTextKey(peer)}`;
}

function hostsKey({ local, peer }: { readonly local: IpAddress; readonly peer: IpAddress }): string {
  return `${addressTextKey(local)} ${addressTextKey(peer)}`;
}
