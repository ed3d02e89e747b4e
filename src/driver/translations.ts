import type { PacketAddress } from '../wire/ip/ip.js';
import type { NatClient } from './nat-client.js';

/** Ports, and ICMP echo ids, that stand for others: hosts rarely choose them for themselves. */
export const translatedPorts = { first: 30_000, last: 30_999 } as const;
/** Silent for so long, a translation may be another's where no fresh port is left… */
const idleMs = 120_000;
/** …and after so long before a fresh one is taken. */
const forgottenMs = 3_600_000;
/** Kept at once, over all peers. None is thrown away to make room: its port would lead answers past protection. */
const mostTranslations = 16_384;

/**
 * A port of a client that this host sees as another port of the address the client shares. It is the same towards all
 * ports of this host. When its client is gone the translation stays, so that late answers are dropped, not sent in clear.
 */
export interface Translation {
  readonly peer: PacketAddress;
  readonly protocol: number;
  readonly appearsAs: number;
  client: NatClient;
  /** The client's own. */
  port: number;
  lastUsedAtMs: number;
  /** Whether the packets that this host sends to `appearsAs` come to the engine, whatever the filters say. */
  steering: 'not-yet' | 'asked' | 'steered';
}

/** Whether a port of the peer cannot stand for another: somebody there uses it, or this host talks to it. */
export type IsPortInUse = (protocol: number, peer: PacketAddress, port: number) => boolean;

/** All translations, by what they appear as; those of a client are with it. */
export class Translations {
  readonly #byPeer = new Map<PacketAddress, Map<number, Translation>>();
  readonly #isInUse: IsPortInUse;
  /** Where the search for a free port begins: not always at the same one, for a restart forgets who had it. */
  readonly #start: number;
  #size = 0;

  constructor(start: number, isInUse: IsPortInUse) {
    this.#start = start % (translatedPorts.last - translatedPorts.first + 1);
    this.#isInUse = isInUse;
  }

  get size(): number {
    return this.#size;
  }

  *all(): Generator<Translation> {
    for (const translations of this.#byPeer.values()) yield* translations.values();
  }

  /** The one that appears as a port of a peer. */
  at(peer: PacketAddress, protocol: number, port: number): Translation | undefined {
    if (this.#size === 0 || port < translatedPorts.first || port > translatedPorts.last) return undefined;
    return this.#byPeer.get(peer)?.get(portKey(protocol, port));
  }

  /** The one of a client's port. */
  of(client: NatClient, protocol: number, port: number): Translation | undefined {
    return client.translations.size === 0 ? undefined : client.translations.get(portKey(protocol, port));
  }

  /** Finds a port for a client's to appear as; `undefined` when none is left. `isHeard`: clients use it themselves. */
  begin(
    client: NatClient,
    { peer, protocol, port }: Pick<Translation, 'peer' | 'protocol' | 'port'>,
    isHeard: (port: number) => boolean,
    nowMs: number,
  ): Translation | undefined {
    const ofPeer = this.#byPeer.get(peer) ?? new Map<number, Translation>();
    const quiet = longestQuiet(ofPeer, protocol, nowMs);
    const quietMs = quiet === undefined ? 0 : nowMs - quiet.lastUsedAtMs;
    if (quiet !== undefined && quietMs >= forgottenMs) return given(quiet, client, port, nowMs);
    const appearsAs = this.#freshPort(
      candidate =>
        !ofPeer.has(portKey(protocol, candidate)) &&
        !isHeard(candidate) &&
        !this.#isInUse(protocol, peer, candidate),
    );
    if (appearsAs !== undefined) {
      const translation: Translation = {
        ...{ peer, protocol, appearsAs, client, port },
        lastUsedAtMs: nowMs,
        steering: 'not-yet',
      };
      this.#byPeer.set(peer, ofPeer);
      ofPeer.set(portKey(protocol, appearsAs), translation);
      this.#size++;
      return given(translation, client, port, nowMs);
    }
    return quiet !== undefined && quietMs >= idleMs ? given(quiet, client, port, nowMs) : undefined;
  }

  /** Forgets those about which nothing is to be kept from going in clear any more. */
  retain(isWanted: (translation: Translation) => boolean): void {
    for (const [peer, ofPeer] of this.#byPeer) {
      for (const [key, translation] of ofPeer) {
        if (isWanted(translation)) continue;
        ofPeer.delete(key);
        translation.client.translations.delete(portKey(translation.protocol, translation.port));
        this.#size--;
      }
      if (ofPeer.size === 0) this.#byPeer.delete(peer);
    }
  }

  #freshPort(isFree: (port: number) => boolean): number | undefined {
    if (this.#size >= mostTranslations) return undefined;
    const { first, last } = translatedPorts;
    const count = last - first + 1;
    for (let i = 0; i < count; i++) {
      const port = first + ((this.#start + i) % count);
      if (isFree(port)) return port;
    }
    return undefined;
  }
}

function longestQuiet(
  translations: ReadonlyMap<number, Translation>,
  protocol: number,
  nowMs: number,
): Translation | undefined {
  let quiet: Translation | undefined;
  for (const translation of translations.values())
    if (translation.protocol === protocol && translation.lastUsedAtMs < (quiet?.lastUsedAtMs ?? nowMs))
      quiet = translation;
  return quiet;
}

/** Makes a translation the client's. */
function given(translation: Translation, client: NatClient, port: number, nowMs: number): Translation {
  const { protocol } = translation;
  translation.client.translations.delete(portKey(protocol, translation.port));
  client.translations.set(portKey(protocol, port), translation);
  translation.client = client;
  translation.port = port;
  translation.lastUsedAtMs = nowMs;
  return translation;
}

function portKey(protocol: number, port: number): number {
  return protocol * 0x1_0000 + port;
}
