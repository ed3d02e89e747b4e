import type { Endpoint } from './api.js';
import type { Flow } from './packet-selector.js';

/** Conversations kept between two addresses; the oldest go first. */
const mostConversations = 4_096;
/** Silent for so long, a conversation may begin anew with another client. */
const idleMs = 120_000;

interface Conversation {
  client: Endpoint;
  heardAtMs: number;
}

/**
 * Clients behind one NAT have one address in transport mode, and answers must find their client (RFC 3948 5.2): a
 * conversation, which is a protocol with its two ports, belongs to the client that it was last heard from, told by its UDP
 * endpoint. Flows are as seen outbound; `hosts` names the two addresses.
 */
export class Conversations {
  readonly #byHosts = new Map<string, Map<number, Conversation>>();

  /**
   * Notes a genuine packet of a client. Returns the other client when the conversation is another's and alive: the packet
   * must be refused, for answers can go to one only. What has no ports is nobody's own.
   */
  heard(hosts: string, flow: Flow, client: Endpoint, nowMs: number): Endpoint | undefined {
    const conversations = this.#byHosts.get(hosts) ?? new Map<number, Conversation>();
    this.#byHosts.set(hosts, conversations);
    const key = keyOf(flow);
    const known = conversations.get(key);
    if (known === undefined) {
      const [oldest] = conversations.keys();
      if (conversations.size >= mostConversations && oldest !== undefined) conversations.delete(oldest);
      conversations.set(key, { client, heardAtMs: nowMs });
      return undefined;
    }
    const isOwn = isSameEndpoint(known.client, client);
    if (!isOwn && hasPorts(flow) && nowMs < known.heardAtMs + idleMs) return known.client;
    known.client = client;
    known.heardAtMs = nowMs;
    return undefined;
  }

  /** Whose conversation it is; `undefined` when nobody was heard in it. */
  clientOf(hosts: string, flow: Flow): Endpoint | undefined {
    return this.#byHosts.get(hosts)?.get(keyOf(flow))?.client;
  }

  /** A client's NAT mapping moved. */
  moved(hosts: string, from: Endpoint, to: Endpoint): void {
    for (const conversation of this.#byHosts.get(hosts)?.values() ?? [])
      if (isSameEndpoint(conversation.client, from)) conversation.client = to;
  }

  /** A client has no SA left. */
  forget(hosts: string, client: Endpoint): void {
    const conversations = this.#byHosts.get(hosts);
    if (conversations === undefined) return;
    for (const [key, conversation] of conversations)
      if (isSameEndpoint(conversation.client, client)) conversations.delete(key);
    if (conversations.size === 0) this.#byHosts.delete(hosts);
  }
}

export function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}

/** Below 2^40: a number is looked up faster than text. */
function keyOf({ protocol, sourcePort, destinationPort }: Flow): number {
  return (protocol * 0x1_0000 + sourcePort) * 0x1_0000 + destinationPort;
}

function hasPorts({ sourcePort, destinationPort }: Flow): boolean {
  return sourcePort !== 0 || destinationPort !== 0;
}
