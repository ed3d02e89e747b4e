/** Whole hosts on a memory network: agent, IKE and packet engine under one virtual clock. */
import type { PolicySource } from '../../src/agent/active-policy.js';
import { Agent, type AgentEvent } from '../../src/agent/agent.js';
import type { Servers } from '../../src/agent/servers.js';
import { parseTunnel, type TunnelDocument } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { type MemoryHost, MemoryNetwork } from '../../src/driver/userspace/memory.js';
import type { AuditEvent, NegotiationFailure } from '../../src/ike/api.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { encodeIpv4, ipv4ToNumber } from '../../src/wire/ip/packet.js';
import { MemoryDriver } from './memory-driver.js';
import { SeededRandom } from './random.js';
import { VirtualClock } from './virtual-clock.js';

export const aliceAddress = ipAddress('192.0.2.1');
export const bobAddress = ipAddress('192.0.2.2');

/** A whole host: agent, IKE and packet engine on a memory network. */
export class Station {
  readonly events: AgentEvent[] = [];
  readonly agent: Agent;
  readonly driver: MemoryDriver;
  readonly tun;
  readonly #host: MemoryHost;
  /** What its name server answers; other names do not exist. */
  readonly names = new Map<string, readonly IpAddress[]>();
  servers: Servers = {};
  #addresses: readonly IpAddress[];

  constructor(network: MemoryNetwork, clock: VirtualClock, address: IpAddress, seed: number) {
    const host = network.host({ addresses: [address] });
    const random = new SeededRandom(seed);
    this.#addresses = [address];
    this.#host = host;
    this.tun = host.tun;
    this.driver = new MemoryDriver(host, clock, length => random.bytes(length));
    this.agent = new Agent({
      driver: this.driver,
      clock,
      random: length => random.bytes(length),
      localAddresses: () => this.#addresses.map(known => ({ address: known })),
      servers: () => this.servers,
      resolve: async name => {
        const found = this.names.get(name);
        if (found === undefined) throw new Error('no such name');
        return found;
      },
      onEvent: event => this.events.push(event),
    });
  }

  /** Packets that no filter wants secured, as its kernel would send them. */
  sendClear(...packets: Uint8Array[]): void {
    this.#host.sockets.sendIpPackets(packets);
  }

  failures(): NegotiationFailure[] {
    return this.events.flatMap(event => (event.kind === 'failure' ? [event.failure] : []));
  }

  audits(): AuditEvent[] {
    return this.events.flatMap(event => (event.kind === 'audit' ? [event.event] : []));
  }

  errors(): Error[] {
    return this.events.flatMap(event => (event.kind === 'error' ? [event.error] : []));
  }

  moveTo(...addresses: IpAddress[]): void {
    this.#addresses = addresses;
  }
}

export const tunnelTo = (
  local: IpAddress,
  peer: IpAddress,
  more: Partial<TunnelDocument> = {},
): PolicySource =>
  tunnelSource(
    parseTunnel({
      format: 'ipseckit-tunnel',
      version: 1,
      name: 'test',
      local,
      peer,
      presharedKey: 'secret',
      // A small group: these tests are about the agent.
      ike: '3des-sha1-modp768',
      esp: '3des-sha1',
      ...more,
    }),
  );

/** Two hosts that have started, and the time between them. */
export async function twoStations(seed: number) {
  const network = new MemoryNetwork();
  const clock = new VirtualClock();
  const alice = new Station(network, clock, aliceAddress, seed);
  const bob = new Station(network, clock, bobAddress, seed + 1);
  await alice.agent.start();
  await bob.agent.start();
  /** Time passes, and packets arrive as they are sent. */
  const pass = (ms: number) => clock.advance(ms, () => network.run());
  return { network, clock, alice, bob, pass };
}

/** A ping request as the kernel would send it. */
export const ping = (source: IpAddress, destination: IpAddress) =>
  encodeIpv4(
    {
      source: ipv4ToNumber(source),
      destination: ipv4ToNumber(destination),
      protocol: 1,
      ttl: 64,
      tos: 0,
      identification: 7,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
    },
    Uint8Array.from({ length: 64 }, (_, i) => i),
  );
