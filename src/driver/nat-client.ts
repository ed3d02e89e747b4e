import type { IpAddress } from '../wire/ip/address.js';
import type { PacketAddress } from '../wire/ip/ip.js';
import type { Endpoint, TranslatedPort } from './api.js';
import { Conversations } from './conversations.js';
import type { InstalledPair } from './installed-pair.js';
import { type IsPortInUse, type Translation, Translations } from './translations.js';

/** A client behind a NAT, in transport mode: others may have the same address. All of its pairs have the one object. */
export interface NatClient {
  /** Where its UDP comes from; follows the NAT's mapping. Port 0: another has taken its place since. */
  endpoint: Endpoint;
  /** Behind the NAT, where it told. */
  readonly ownAddress: IpAddress | undefined;
  readonly conversations: Conversations;
  /** Its ports that this host sees as others, by protocol and port. */
  readonly translations: Map<number, Translation>;
  /** How many there are with it; without any it is gone, and remembered only while a translation is its. */
  pairs: number;
}

/** The clients behind NATs that have pairs, and what tells apart those that share an address. */
export class NatClients {
  readonly #byAddress = new Map<PacketAddress, NatClient[]>();
  readonly translations: Translations;

  /** `start`: where the search for a free port begins, any number. */
  constructor(start: number, isPortInUse: IsPortInUse) {
    this.translations = new Translations(start, isPortInUse);
  }

  /** The client that a new pair is with; `undefined` when it shares no address. */
  join(pair: InstalledPair): NatClient | undefined {
    const { udpPeer: endpoint, peer } = pair;
    if (pair.isTunnel || endpoint === undefined) return undefined;
    const all = (this.#byAddress.get(peer) ?? []).filter(isRemembered);
    const here = all.filter(client => isSameEndpoint(client.endpoint, endpoint));
    const known = here.find(({ pairs }) => pairs > 0) ?? here[0];
    const client = known ?? {
      endpoint,
      ownAddress: pair.pair.natOriginal?.peer,
      conversations: all[0]?.conversations ?? new Conversations(peer, this.translations),
      translations: new Map(),
      pairs: 0,
    };
    client.pairs++;
    this.#byAddress.set(peer, known === undefined ? [...all, client] : all);
    return client;
  }

  /** A pair with the client is gone. With the last one go its conversations. */
  leave(client: NatClient, peer: PacketAddress): void {
    client.pairs--;
    if (client.pairs > 0) return;
    client.conversations.forget(client);
    const others = (this.#byAddress.get(peer) ?? []).filter(isRemembered);
    if (others.length > 0) this.#byAddress.set(peer, others);
    else this.#byAddress.delete(peer);
  }

  /** A client's NAT mapping moved. Whoever was there before is elsewhere now. */
  moved(client: NatClient, peer: PacketAddress, endpoint: Endpoint): void {
    for (const other of this.#byAddress.get(peer) ?? [])
      if (other !== client && isSameEndpoint(other.endpoint, endpoint))
        other.endpoint = { ...endpoint, port: 0 };
    client.endpoint = endpoint;
  }
}

/** A client's ports that this host sees as others, as people are told of them. */
export function translatedPortsOf({ endpoint, ownAddress, translations }: NatClient): TranslatedPort[] {
  return Array.from(translations.values(), ({ protocol, port, appearsAs }) => ({
    protocol,
    client: ownAddress ?? endpoint.address,
    port,
    appearsAs: { address: endpoint.address, port: appearsAs },
  }));
}

function isRemembered({ pairs, translations }: NatClient): boolean {
  return pairs > 0 || translations.size > 0;
}

function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}
