import type { PacketAddress } from '../wire/ip/ip.js';
import type { NatClient } from './nat-client.js';
import type { Flow } from './packet-selector.js';
import type { Translation, Translations } from './translations.js';

/** Kept with one address. */
const mostConversations = 4_096;
/** Silent for so long, a conversation may begin anew with another client. */
export const clientIdleMs = 120_000;

interface Conversation {
  client: NatClient;
  lastUsedAtMs: number;
}

/** What becomes of a client's packet: it keeps its port, gets another, or must not pass, for answers would go to another. */
export type Hearing = 'kept' | Translation | { readonly refusedFor: NatClient };

/**
 * Clients behind one NAT have one address in transport mode, and answers must find their client (RFC 3948 5.2): a
 * conversation, which is a protocol with its two ports, belongs to the client that it was last heard from or begun with. A
 * client that comes with the ports of another gets its own port translated. These are the conversations with one such
 * address, whichever of ours they are with; flows are as seen outbound.
 */
export class Conversations {
  readonly #byPorts = new Map<number, Conversation>();
  readonly #peer: PacketAddress;
  readonly #translations: Translations;
  /** Where what this host begins goes to. */
  #lastHeard: NatClient | undefined;

  constructor(peer: PacketAddress, translations: Translations) {
    this.#peer = peer;
    this.#translations = translations;
  }

  /** Notes a genuine packet of a client, and says how it appears to this host. What has no ports is nobody's own. */
  heard(flow: Flow, client: NatClient, nowMs: number): Hearing {
    this.#lastHeard = client;
    const known = this.#byPorts.get(keyOf(flow));
    if (known?.client === client) {
      known.lastUsedAtMs = nowMs;
      return 'kept';
    }
    const { protocol, destinationPort } = flow;
    const translation = this.#translations.of(client, protocol, destinationPort);
    if (translation !== undefined) {
      translation.lastUsedAtMs = nowMs;
      return translation;
    }
    if (known === undefined) {
      const other = this.#translations.at(this.#peer, protocol, destinationPort);
      if (other !== undefined) return this.#translate(flow, client, nowMs) ?? { refusedFor: other.client };
      this.begun(flow, client, nowMs);
      return 'kept';
    }
    if (hasPorts(flow) && nowMs < known.lastUsedAtMs + clientIdleMs)
      return this.#translate(flow, client, nowMs) ?? { refusedFor: known.client };
    known.client = client;
    known.lastUsedAtMs = nowMs;
    return 'kept';
  }

  /** Whose conversation it is in which this host sends something; `undefined` when it is new. */
  clientOf(flow: Flow, nowMs: number): NatClient | undefined {
    const known = this.#byPorts.get(keyOf(flow));
    if (known === undefined) return undefined;
    known.lastUsedAtMs = nowMs;
    return known.client;
  }

  /** Whose conversation it is. */
  ownerOf(flow: Flow): NatClient | undefined {
    return this.#byPorts.get(keyOf(flow))?.client;
  }

  /** Whom a new conversation of this host can be with, in order. One whose port is translated is not at that port. */
  candidates(flow: Flow, newest: NatClient): NatClient[] {
    const clients = this.#lastHeard === undefined ? [newest] : [this.#lastHeard, newest];
    return clients.filter(
      client => this.#translations.of(client, flow.protocol, flow.destinationPort) === undefined,
    );
  }

  /** A conversation begins. */
  begun(flow: Flow, client: NatClient, nowMs: number): void {
    if (this.#byPorts.size >= mostConversations) this.#makeRoom(client, nowMs);
    this.#byPorts.set(keyOf(flow), { client, lastUsedAtMs: nowMs });
  }

  /** A client has no pair left. */
  forget(client: NatClient): void {
    if (this.#lastHeard === client) this.#lastHeard = undefined;
    for (const [key, conversation] of this.#byPorts)
      if (conversation.client === client) this.#byPorts.delete(key);
  }

  #translate(flow: Flow, client: NatClient, nowMs: number): Translation | undefined {
    const { protocol, destinationPort: port } = flow;
    if (port === 0) return undefined;
    const ofClients = new Set(Array.from(this.#byPorts.keys(), farPortOf));
    return this.#translations.begin(
      client,
      { peer: this.#peer, protocol, port },
      candidate => ofClients.has(candidate),
      nowMs,
    );
  }

  /** One that is idle, or of the client that wants more: no client's conversations go because another has many. */
  #makeRoom(client: NatClient, nowMs: number): void {
    for (const [key, conversation] of this.#byPorts) {
      if (conversation.client !== client && nowMs < conversation.lastUsedAtMs + clientIdleMs) continue;
      this.#byPorts.delete(key);
      return;
    }
    const [oldest] = this.#byPorts.keys();
    if (oldest !== undefined) this.#byPorts.delete(oldest);
  }
}

/** Below 2^40: a number is looked up faster than text. */
function keyOf({ protocol, sourcePort, destinationPort }: Flow): number {
  return (protocol * 0x1_0000 + sourcePort) * 0x1_0000 + destinationPort;
}

function farPortOf(key: number): number {
  return key % 0x1_0000;
}

function hasPorts({ sourcePort, destinationPort }: Flow): boolean {
  return sourcePort !== 0 || destinationPort !== 0;
}
