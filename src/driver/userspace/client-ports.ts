import type { IpAddress } from '../../wire/ip/address.js';
import { isIcmpError } from '../../wire/ip/icmp-errors.js';
import { addressOf, type IpHeader, type PacketAddress, packetAddress } from '../../wire/ip/ip.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import type { FilterId } from '../api.js';
import type { InstalledPair } from '../installed-pair.js';
import type { NatClient, NatClients } from '../nat-client.js';
import type { Flow } from '../packet-selector.js';
import type { SaDatabase } from '../sa-database.js';
import type { Translation } from '../translations.js';
import { conversationOf, setPeerPort, setQuotedPeer } from './peer-port.js';

/** Kept of a translation while the kernel learns of it; whoever sent the others repeats them. */
const mostHeld = 16;

export interface ClientPortsDependencies {
  readonly database: SaDatabase;
  readonly clients: NatClients;
  /** Hands packets to this host, at once. */
  deliver(packets: readonly Uint8Array[]): void;
  /** Absent where all packets of this host come to the engine anyway. */
  readonly steer?: Steer;
}

/** A port of a peer, of TCP or UDP, that stands for another of a client behind a NAT. */
export interface SteeredPort {
  readonly peer: IpAddress;
  readonly protocol: number;
  readonly port: number;
}

/**
 * Sees to it that what this host sends to the port comes to the engine, whatever the filters say, and that what comes from
 * there in clear is dropped; then calls back, saying whether it could.
 */
export type Steer = (port: SteeredPort, done: (steered: boolean) => void) => void;

/** `held`: it is delivered later. */
export type Admission = 'deliver' | 'held' | { readonly refused: string };

/**
 * Keeps apart the clients behind one NAT: a port of one that is another's in the same conversation is translated on its way
 * in, and back on the way out.
 */
export class ClientPorts {
  readonly #deps: ClientPortsDependencies;
  readonly #held = new Map<Translation, Uint8Array[]>();

  constructor(dependencies: ClientPortsDependencies) {
    this.#deps = dependencies;
  }

  /** Takes a genuine packet of a client, its checksum right; it is changed in place. `flow` is as seen outbound. */
  receive(
    { client, pair, peer }: InstalledPair,
    packet: Uint8Array,
    header: IpHeader,
    flow: Flow,
    nowMs: number,
  ): Admission {
    if (client === undefined) return 'deliver';
    const conversation = conversationOf(packet, header, flow, 'inbound');
    if (isIcmpError(packet, header)) {
      const { protocol, destinationPort } = conversation;
      const owner = client.conversations.ownerOf(conversation);
      const quoted = this.#deps.clients.translations.of(client, protocol, destinationPort);
      if (owner !== client && quoted !== undefined) setPeerPort(packet, header, 'inbound', quoted.appearsAs);
      else if (owner !== undefined && owner !== client)
        return { refused: "an ICMP error about another client's conversation" };
      // It quotes what came to the client's own address.
      if (pair.natOriginal?.peer !== undefined)
        setQuotedPeer(packet, header, 'inbound', packetAddress(pair.natOriginal.peer), peer);
      return 'deliver';
    }
    const hearing = client.conversations.heard(conversation, client, nowMs);
    if (hearing === 'kept') return 'deliver';
    if ('refusedFor' in hearing) {
      const { address, port } = hearing.refusedFor.endpoint;
      const other = `the client at ${address}:${port} behind the same NAT`;
      return { refused: `${other} uses the same ports, and there are no others to translate them to` };
    }
    setPeerPort(packet, header, 'inbound', hearing.appearsAs);
    // ICMP's filters know no ids: what covers the answer to the one covers that to the other.
    const isSteered = hearing.steering === 'steered' || this.#deps.steer === undefined || !hasPorts(hearing);
    return isSteered ? 'deliver' : this.#hold(hearing, packet);
  }

  /** The pair for a packet of this host: in a conversation with a client behind a NAT, one with that client. */
  carrier(
    filterId: FilterId | undefined,
    peer: PacketAddress,
    packet: Uint8Array,
    header: IpHeader,
    flow: Flow,
    nowMs: number,
  ): InstalledPair | undefined {
    const { database } = this.#deps;
    const newest = database.outbound(filterId, peer, flow);
    if (newest?.client === undefined) return newest;
    const { conversations } = newest.client;
    const conversation = conversationOf(packet, header, flow, 'outbound');
    const client = conversations.clientOf(conversation, nowMs);
    if (client !== undefined) return database.outbound(filterId, peer, flow, client);
    for (const candidate of conversations.candidates(conversation, newest.client)) {
      const pair = database.outbound(filterId, peer, flow, candidate);
      if (pair === undefined) continue;
      conversations.begun(conversation, candidate, nowMs);
      return pair;
    }
    return undefined;
  }

  /** The translation that a packet of this host goes back through. */
  translationOf(packet: Uint8Array, header: IpHeader, flow: Flow): Translation | undefined {
    const { translations } = this.#deps.clients;
    if (translations.size === 0) return undefined;
    const { protocol, destinationPort } = conversationOf(packet, header, flow, 'outbound');
    return translations.at(header.destination, protocol, destinationPort);
  }

  /** The ports that must come to the engine. */
  steered(): SteeredPort[] {
    return [...this.#deps.clients.translations.all()].filter(hasPorts).map(steeredPortOf);
  }

  #hold(translation: Translation, packet: Uint8Array): Admission {
    const held = this.#held.get(translation) ?? [];
    if (held.length >= mostHeld)
      return { refused: 'too many packets wait for the kernel to learn of its port' };
    held.push(Uint8Array.from(packet));
    this.#held.set(translation, held);
    if (translation.steering === 'not-yet') {
      translation.steering = 'asked';
      this.#deps.steer?.(steeredPortOf(translation), steered => {
        translation.steering = steered ? 'steered' : 'not-yet';
        this.#held.delete(translation);
        if (steered && this.#isWanted(translation)) this.#deps.deliver(held);
      });
    }
    return 'held';
  }

  #isWanted(translation: Translation): boolean {
    const { peer, protocol, appearsAs } = translation;
    return this.#deps.clients.translations.at(peer, protocol, appearsAs) === translation;
  }
}

function hasPorts({ protocol }: Translation): boolean {
  return protocol === ipProtocol.tcp || protocol === ipProtocol.udp;
}

function steeredPortOf({ peer, protocol, appearsAs }: Translation): SteeredPort {
  return { peer: addressOf(peer), protocol, port: appearsAs };
}

/** The packet with the client's own port back in it, in memory of its own. */
export function answerTo({ port }: Translation, packet: Uint8Array, header: IpHeader): Uint8Array {
  const answer = Uint8Array.from(packet.subarray(0, header.totalLength));
  setPeerPort(answer, header, 'outbound', port);
  return answer;
}

/** A packet to a client; an ICMP error then quotes the address from which the client sent. */
export function asClientKnows({ ownAddress }: NatClient, packet: Uint8Array, header: IpHeader): Uint8Array {
  if (ownAddress === undefined || !isIcmpError(packet, header)) return packet;
  const known = Uint8Array.from(packet);
  setQuotedPeer(known, header, 'outbound', header.destination, packetAddress(ownAddress));
  return known;
}
