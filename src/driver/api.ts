/**
 * The SA API: the typed boundary between the driver, IKE and the agent. Types only. Each engine (`userspace`,
 * `xfrm`) implements `Driver`; the agent is its only caller.
 */
import type { EncryptionId, HashId } from '../crypto/algorithms.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { UndeliveredReason } from '../wire/ip/icmp-errors.js';
import type { Selector } from '../wire/ip/selector.js';
import type { ConnectionType } from './connection-type.js';

/** Security parameter index, 256 to 2^32-1. */
export type Spi = number & { readonly __brand: 'Spi' };

/** Names one quick mode's result: its inbound and outbound SAs, which live and die together. */
export type PairId = string & { readonly __brand: 'PairId' };

/** Names one specific, one-directional filter. */
export type FilterId = string & { readonly __brand: 'FilterId' };

/** A specific filter: no keywords left, one direction. */
export interface DriverFilter {
  readonly id: FilterId;
  /** GUID of the filter action it came from; `netdiag` prints it as Policy Id. */
  readonly policyId: string;
  readonly name?: string;
  /** `outbound` matches packets that leave this host (sent or forwarded), `inbound` those that arrive. */
  readonly direction: 'inbound' | 'outbound';
  /** In the packet's own direction. */
  readonly selector: Selector;
  readonly action: 'permit' | 'block' | 'secure';
  /** Inbound clear packets pass although the action is `secure`. */
  readonly acceptUnsecured: boolean;
  readonly allowFallback: boolean;
  /** Matches only packets of such adapters; absent: of all. */
  readonly connectionType?: ConnectionType;
  /** Far end for an outbound tunnel filter, own address for an inbound one; absent in transport mode. */
  readonly tunnelEndpoint?: IpAddress;
}

/** One SA of a pair: a protocol in a direction. `spi` is the one its receiver chose. */
export interface SaHalf {
  readonly protocol: 'esp' | 'ah';
  readonly spi: Spi;
  /** ESP only; `null` is `null` encryption (RFC 2410). */
  readonly encryption?: EncryptionId;
  /** Absent for a combined-mode cipher, and for ESP without integrity. */
  readonly hash?: HashId;
  /** Cipher key followed by the salt; empty for AH and NULL. */
  readonly encryptionKey: Uint8Array;
  readonly integrityKey: Uint8Array;
  /** ICV length where it is not the table's: 12 for peers that cut HMAC-SHA-256 to 96 bits. */
  readonly icvBytes?: number;
  /** The last sequence number used, or seen, of an SA that is not new. */
  readonly sequence?: number;
}

/** Everything the driver needs for one negotiated pair. */
export interface SaPair {
  readonly id: PairId;
  /** The outbound filter it serves; absent when the peer negotiated under the default response rule. */
  readonly filterId?: FilterId;
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly mode: 'transport' | 'tunnel';
  /** Traffic it carries, as seen outbound (source is our side). */
  readonly selector: Selector;
  /** In order of outbound processing: ESP before AH. */
  readonly inbound: readonly SaHalf[];
  readonly outbound: readonly SaHalf[];
  /** UDP encapsulation (RFC 3948), with the ports of the IKE SA. */
  readonly udpEncapsulation?: { readonly localPort: number; readonly peerPort: number };
  /** Addresses before NAT, for transport-mode checksum repair (RFC 3948 3.1.2). */
  readonly natOriginal?: { readonly local?: IpAddress; readonly peer?: IpAddress };
  readonly lifetime: SaLifetime;
  /** Anti-replay window in packets, 0 switches the check off; 64 when absent. */
  readonly replayWindow?: number;
  /** Sequence numbers have 64 bits, of which 32 are sent (RFC 4303 2.2.1). Needs integrity and a window. */
  readonly extendedSequence?: boolean;
}

/** Soft: report `softExpired` once. Hard: stop using the pair and report `hardExpired`. 0 is no limit. */
export interface SaLifetime {
  readonly softSeconds: number;
  readonly hardSeconds: number;
  readonly softKilobytes: number;
  readonly hardKilobytes: number;
}

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** An IKE message off or for UDP 500 or 4500; the non-ESP marker of port 4500 is already off, or not yet on. */
export interface IkeDatagram {
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly bytes: Uint8Array;
}

export type DriverEvent =
  /** A packet met a `secure` filter without an SA: it is queued, negotiate. Repeated at most once a second a filter and peer. */
  | {
      readonly kind: 'acquire';
      readonly filterId: FilterId;
      readonly local: IpAddress;
      readonly peer: IpAddress;
      readonly packet: Selector;
    }
  | {
      readonly kind: 'softExpired';
      readonly pairId: PairId;
      readonly cause: 'seconds' | 'kilobytes' | 'sequence';
    }
  | {
      readonly kind: 'hardExpired';
      readonly pairId: PairId;
      readonly cause: 'seconds' | 'kilobytes' | 'sequence';
    }
  /** The first authenticated packet on an inbound SA: the peer uses the pair. */
  | { readonly kind: 'inboundUsed'; readonly pairId: PairId }
  /** An authenticated packet came from another UDP address: the NAT mapping moved; the pair already follows it. */
  | { readonly kind: 'peerMoved'; readonly pairId: PairId; readonly peer: Endpoint }
  /** A packet came for an SPI that no SA has. The ports are those of the UDP it came in, else 500. */
  | {
      readonly kind: 'unknownSpi';
      readonly protocol: 'esp' | 'ah';
      readonly spi: Spi;
      readonly local: Endpoint;
      readonly peer: Endpoint;
    }
  | { readonly kind: 'ike'; readonly datagram: IkeDatagram }
  /** An ICMP error about what was sent from the IKE ports. Anyone can forge it. */
  | {
      readonly kind: 'undelivered';
      readonly peer: Endpoint;
      readonly reporter: IpAddress;
      readonly reason: UndeliveredReason;
    }
  | { readonly kind: 'failed'; readonly error: Error };

/** Why the driver dropped a packet. Stable words, counted one by one. */
export type DropReason =
  | 'blocked'
  | 'clear-but-secured'
  | 'no-sa-queue-full'
  | 'negotiation-failed'
  | 'bad-spi'
  | 'replay'
  | 'not-authenticated'
  | 'not-decrypted'
  | 'malformed'
  | 'fragment'
  | 'selector-mismatch'
  | 'client-gone'
  | 'too-big'
  | 'expired'
  | 'send-failed';

/** What a packet's headers say; nothing of what it carries. */
export interface PacketSummary {
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** IP protocol number, behind extension headers; 17 for ESP in UDP. */
  readonly protocol: number;
  /** TCP and UDP only, and not of later fragments. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** ESP and AH only, in UDP too. */
  readonly spi?: number;
  readonly sequence?: number;
  /** Length of the IP packet; of ESP in UDP, of the ESP alone. */
  readonly bytes: number;
}

/** Dropped packets of one kind at one moment: mostly one. */
export interface DropRecord {
  /** Packets dropped since the start, these included: a gap to the record before tells of packets that are not told of. */
  readonly number: number;
  readonly packets: number;
  readonly reason: DropReason;
  /** On the clock of `steady-clock.ts`; the agent's answers translate it. */
  readonly atMs: number;
  readonly direction: 'inbound' | 'outbound';
  readonly pairId?: PairId;
  /** As it was when it met the engine; absent when its headers cannot be read. */
  readonly packet?: PacketSummary;
  /** What was found in it once it was opened. */
  readonly inner?: PacketSummary;
  /** What is known of the cause, a sentence without a full stop. */
  readonly note?: string;
}

/** What an engine remembers of dropped packets. Those that nftables dropped are only counted, by filter. */
export interface DropHistory {
  /** Where the engine cannot tell of all packets: the reasons of which it tells some. Absent: it tells of all. */
  readonly told?: readonly DropReason[];
  /** The newest, oldest first; bounded. */
  readonly recent: readonly DropRecord[];
  /** The newest of each reason, however long ago. */
  readonly lastByReason: Readonly<Partial<Record<DropReason, DropRecord>>>;
  /** Packets dropped by each filter that dropped any. */
  readonly byFilter: ReadonlyMap<FilterId, number>;
}

/** IPsec (quick mode, driver) statistics of `monitoring.md` 2.2, with the names of its columns. */
export interface DriverStatistics {
  readonly activeAssociations: number;
  readonly pendingKeys: number;
  readonly keyAdditions: number;
  readonly keyDeletions: number;
  readonly rekeys: number;
  readonly activeTunnels: number;
  readonly badSpiPackets: number;
  readonly packetsNotDecrypted: number;
  readonly packetsNotAuthenticated: number;
  readonly packetsWithReplayDetection: number;
  readonly confidentialBytesSent: number;
  readonly confidentialBytesReceived: number;
  readonly authenticatedBytesSent: number;
  readonly authenticatedBytesReceived: number;
  readonly transportBytesSent: number;
  readonly transportBytesReceived: number;
  readonly tunnelBytesSent: number;
  readonly tunnelBytesReceived: number;
  readonly drops: Readonly<Record<DropReason, number>>;
}

/**
 * A port of a client behind a NAT that this host sees as another, because a second client has the same: it appears as
 * `appearsAs`. For ICMP, it is the id of echo requests.
 */
export interface TranslatedPort {
  readonly protocol: number;
  /** Its own address behind the NAT where it is known, else the NAT's. */
  readonly client: IpAddress;
  readonly port: number;
  readonly appearsAs: Endpoint;
}

/** What one pair did so far. */
export interface PairStatistics {
  readonly pairId: PairId;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly packetsSent: number;
  readonly packetsReceived: number;
  /** These two on the clock of `steady-clock.ts`; the agent's answers translate them. */
  readonly lastInboundAtMs?: number;
  readonly lastOutboundAtMs?: number;
  readonly outboundActive: boolean;
  readonly drops: Readonly<Partial<Record<DropReason, number>>>;
  readonly lastDrop?: DropRecord;
  /** What was last noticed about the peer's packets, a sentence: `the peer truncates HMAC-SHA-256 to 96 bits`. */
  readonly lastNote?: string;
  /** Of the client that the pair is with; absent when there are none. */
  readonly translatedPorts?: readonly TranslatedPort[];
}

/**
 * Two hosts whose traffic of an outbound filter passes in clear, because the peer does not answer IKE: a soft SA. It gives
 * no protection.
 */
export interface SoftSa {
  /** A transport filter that allows fallback. */
  readonly filterId: FilterId;
  readonly local: IpAddress;
  readonly peer: IpAddress;
}

/** What passed in clear under a soft SA. `packetsReceived` counts the two hosts' packets of any fallback filter. */
export interface SoftSaStatistics extends SoftSa {
  readonly packetsSent: number;
  readonly packetsReceived: number;
}

/** An address that a gateway gave this host inside its network, and the networks of its family that are reached from it. */
export interface AssignedAddress {
  readonly address: IpAddress;
  readonly networks: readonly Subnet[];
  /** Parts of these networks that are not. */
  readonly excluded: readonly Subnet[];
}

export interface Subnet {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** A packet engine. Methods throw `IpseckitError` (ENVIRONMENT, ACCESS_DENIED) when the host refuses. */
export interface Driver {
  readonly name: 'userspace' | 'xfrm' | 'memory';
  /**
   * Opens devices and sockets. Filters that an earlier, killed run of either engine left stay in force until the first
   * `setFilters`, or `stop`; all else of it is removed.
   */
  start(onEvent: (event: DriverEvent) => void): Promise<void>;
  /** Removes everything from the host; safe to call twice. */
  stop(): Promise<void>;
  /** Replaces all filters at once. `filters` is in matching order: the first match decides. */
  setFilters(filters: readonly DriverFilter[]): Promise<void>;
  /**
   * Gives this host exactly these addresses, with routes that use them for packets whose source nobody has chosen; IKE and
   * what carries ESP keep the host's own routes, whatever the networks.
   */
  setAssignedAddresses(assigned: readonly AssignedAddress[]): Promise<void>;
  sendIke(datagram: IkeDatagram): void;
  /** Makes the pair's inbound SAs live (IKE calls it before the peer can use them). */
  installInbound(pair: SaPair): void;
  /** Sends with this pair from now on, newest first, and releases packets queued for its filter. */
  activateOutbound(pairId: PairId): void;
  removePair(pairId: PairId): void;
  /** Drops what is queued for a filter and peer whose negotiation failed. */
  negotiationFailed(filterId: FilterId, peer: IpAddress): void;
  /**
   * Lets the traffic pass in clear where no pair carries it, and sends what is queued. Inbound, clear packets between the
   * two hosts pass every filter that allows fallback. Filters that no longer allow it are not touched by it.
   */
  addSoftSa(soft: SoftSa): Promise<void>;
  /** Takes it back; one that is not there is no error. */
  removeSoftSa(soft: SoftSa): Promise<void>;
  softSaStatistics(): Promise<readonly SoftSaStatistics[]>;
  statistics(): DriverStatistics;
  pairStatistics(): readonly PairStatistics[];
  /** Packets that met each filter, where the engine can tell. */
  filterPackets(): Promise<ReadonlyMap<FilterId, number>>;
  dropHistory(): Promise<DropHistory>;
}
