import { AhTransform } from '../crypto/ah-transform.js';
import { encryption } from '../crypto/algorithms.js';
import {
  createEspOpener,
  createEspSealer,
  type EspKeys,
  type EspOpener,
  type EspSealer,
  espLayout,
} from '../crypto/packet-cipher.js';
import type { RandomPool } from '../crypto/random-pool.js';
import { ahBytes, ahFixedBytes } from '../wire/ah.js';
import { type EspLayout, espHeaderBytes, largestPayload, paddedBytes } from '../wire/esp.js';
import { addressFamily } from '../wire/ip/address.js';
import { type PacketAddress, packetAddress } from '../wire/ip/ip.js';
import { ipv6HeaderBytes } from '../wire/ip/ipv6.js';
import { ipv4HeaderBytes } from '../wire/ip/packet.js';
import type { DropReason, DropRecord, Endpoint, PairStatistics, SaHalf, SaPair } from './api.js';
import type { ConnectionType } from './connection-type.js';
import { Lifetime } from './lifetime.js';
import { type NatClient, translatedPortsOf } from './nat-client.js';
import { type PacketSelector, packetSelector } from './packet-selector.js';
import { carriedSelector } from './pair-places.js';
import { ReplayWindow } from './replay-window.js';
import { checkPair, unusable } from './usable-pair.js';

export const udpHeaderBytes = 8;
const defaultReplayWindow = 64;

/** The sending half of a pair's ESP, or its AH: `sequence` is the last number used, the whole of an extended one. */
export interface OutboundEsp {
  readonly spi: number;
  readonly layout: EspLayout;
  readonly sealer: EspSealer;
  sequence: number;
}

export interface OutboundAh {
  readonly spi: number;
  readonly transform: AhTransform;
  /** Header with ICV and padding. */
  readonly bytes: number;
  /** What stands for the ICV until it is known. */
  readonly blankIcv: Uint8Array;
  sequence: number;
}

export interface InboundEsp {
  readonly spi: number;
  readonly layout: EspLayout;
  readonly opener: EspOpener;
  /** Whether the packet proves who sent it, by ESP's own ICV or AH's around it: else numbers mean nothing. */
  readonly authenticated: boolean;
  readonly window: ReplayWindow;
}

export interface InboundAh {
  readonly spi: number;
  readonly transform: AhTransform;
  readonly window: ReplayWindow;
}

/** A negotiated pair, ready for packets: transforms, sequence numbers, windows, lifetime and counters. */
export class InstalledPair {
  readonly pair: SaPair;
  readonly local: PacketAddress;
  readonly peer: PacketAddress;
  /** Length of an IP header between the two, without options or extension headers. */
  readonly outerHeaderBytes: number;
  readonly isTunnel: boolean;
  /** Outbound view. In transport mode the addresses are the pair's own, whatever NAT made of the identities. */
  readonly selector: PacketSelector;
  readonly outboundEsp: OutboundEsp | undefined;
  readonly outboundAh: OutboundAh | undefined;
  readonly inboundEsp: InboundEsp | undefined;
  readonly inboundAh: InboundAh | undefined;
  /** ESP with a cipher other than NULL. */
  readonly isConfidential: boolean;
  /** With integrity, by ESP or AH. */
  readonly isAuthenticated: boolean;
  /** What the adapter that has our address counts as. */
  connectionType: ConnectionType = 'lan';
  readonly lifetime: Lifetime;
  /** UDP encapsulation: our end, and the peer's, which follows its NAT mapping. */
  readonly udpLocal: Endpoint | undefined;
  udpPeer: Endpoint | undefined;
  /** Whom it is with, where several may have the peer's address. */
  client: NatClient | undefined;
  outboundActive = false;
  bytesSent = 0;
  bytesReceived = 0;
  packetsSent = 0;
  packetsReceived = 0;
  lastInboundAtMs: number | undefined;
  lastOutboundAtMs: number | undefined;
  lastNote: string | undefined;
  lastDrop: DropRecord | undefined;
  /** Packets with a wrong ICV that were tried at other lengths. */
  truncationTries = 0;
  /** MTU of the path to the peer, and when it was asked for. */
  pathMtu = { bytes: 0, askedAtMs: Number.NEGATIVE_INFINITY };
  readonly #drops: Partial<Record<DropReason, number>> = {};

  /** Throws `IpseckitError` UNSUPPORTED or INVALID_POLICY for a pair that this engine cannot or must not carry. */
  constructor(pair: SaPair, random: RandomPool, nowMs: number) {
    checkPair(pair);
    this.pair = pair;
    this.local = packetAddress(pair.local);
    this.peer = packetAddress(pair.peer);
    this.outerHeaderBytes = typeof this.peer === 'number' ? ipv4HeaderBytes : ipv6HeaderBytes;
    this.isTunnel = pair.mode === 'tunnel';
    this.selector = selectorOf(pair);
    const { extendedSequence = false, replayWindow = defaultReplayWindow } = pair;
    const window = ({ sequence = 0 }: SaHalf) =>
      new ReplayWindow(replayWindow, { extended: extendedSequence, top: sequence });
    const inboundAh = halfOf(pair.inbound, 'ah');
    const inboundEsp = halfOf(pair.inbound, 'esp');
    const outboundAh = halfOf(pair.outbound, 'ah');
    const outboundEsp = halfOf(pair.outbound, 'esp');
    this.inboundAh = inboundAh && {
      spi: inboundAh.spi,
      transform: ahTransform(inboundAh, extendedSequence),
      window: window(inboundAh),
    };
    this.outboundAh = outboundAh && outboundAhOf(outboundAh, pair);
    if (inboundEsp !== undefined) {
      const keys = espKeys(inboundEsp, extendedSequence);
      const layout = espLayout(keys);
      const authenticated = layout.icvBytes > 0 || inboundAh !== undefined;
      this.inboundEsp = {
        spi: inboundEsp.spi,
        layout,
        opener: createEspOpener(keys),
        authenticated,
        window: authenticated ? window(inboundEsp) : new ReplayWindow(0),
      };
    }
    if (outboundEsp !== undefined) {
      const { spi, sequence = 0 } = outboundEsp;
      const keys = espKeys(outboundEsp, extendedSequence);
      const sealer = createEspSealer(keys, random);
      this.outboundEsp = { spi, layout: espLayout(keys), sealer, sequence };
    }
    this.isConfidential = encryption(outboundEsp?.encryption ?? 'null').keyBytes > 0;
    this.isAuthenticated = outboundAh !== undefined || (this.outboundEsp?.layout.icvBytes ?? 0) > 0;
    this.lifetime = new Lifetime(pair.lifetime, nowMs, extendedSequence);
    const { udpEncapsulation } = pair;
    this.udpLocal = udpEncapsulation && { address: pair.local, port: udpEncapsulation.localPort };
    this.udpPeer = udpEncapsulation && { address: pair.peer, port: udpEncapsulation.peerPort };
  }

  /** Highest sequence number used in either direction. */
  get highestSequence(): number {
    return Math.max(
      this.outboundEsp?.sequence ?? 0,
      this.outboundAh?.sequence ?? 0,
      this.inboundEsp?.window.top ?? 0,
      this.inboundAh?.window.top ?? 0,
    );
  }

  /** Length of the protected IP packet for a payload of that many bytes behind an IP header of `headerBytes`. */
  protectedBytes(headerBytes: number, payloadBytes: number): number {
    const esp = this.outboundEsp?.layout;
    const espBytes =
      esp === undefined
        ? payloadBytes
        : espHeaderBytes + esp.ivBytes + paddedBytes(payloadBytes, esp.blockBytes) + esp.icvBytes;
    return headerBytes + this.#encapsulationBytes + espBytes;
  }

  /** Longest clear IP packet that fits a path of `mtu` bytes once protected. */
  innerMtu(mtu: number): number {
    const room = mtu - this.outerHeaderBytes - this.#encapsulationBytes;
    const payload = this.outboundEsp === undefined ? room : largestPayload(room, this.outboundEsp.layout);
    return this.isTunnel ? payload : payload + this.outerHeaderBytes;
  }

  countDrop(drop: DropRecord): void {
    this.#drops[drop.reason] = (this.#drops[drop.reason] ?? 0) + drop.packets;
    this.lastDrop = drop;
  }

  statistics(): PairStatistics {
    const { lastInboundAtMs, lastOutboundAtMs, lastNote, lastDrop } = this;
    const translatedPorts = this.client === undefined ? [] : translatedPortsOf(this.client);
    return {
      pairId: this.pair.id,
      bytesSent: this.bytesSent,
      bytesReceived: this.bytesReceived,
      packetsSent: this.packetsSent,
      packetsReceived: this.packetsReceived,
      ...(lastInboundAtMs === undefined ? {} : { lastInboundAtMs }),
      ...(lastOutboundAtMs === undefined ? {} : { lastOutboundAtMs }),
      outboundActive: this.outboundActive,
      drops: { ...this.#drops },
      ...(lastDrop === undefined ? {} : { lastDrop }),
      ...(lastNote === undefined ? {} : { lastNote }),
      ...(translatedPorts.length === 0 ? {} : { translatedPorts }),
    };
  }

  get #encapsulationBytes(): number {
    return (this.outboundAh?.bytes ?? 0) + (this.udpPeer === undefined ? 0 : udpHeaderBytes);
  }
}

function halfOf(halves: readonly SaHalf[], protocol: SaHalf['protocol']): SaHalf | undefined {
  return halves.find(half => half.protocol === protocol);
}

function espKeys(half: SaHalf, extendedSequence: boolean): EspKeys {
  const { encryption: id = 'null', hash, encryptionKey, integrityKey, icvBytes } = half;
  return {
    encryption: id,
    encryptionKey,
    integrityKey,
    extendedSequence,
    ...(hash === undefined ? {} : { hash }),
    ...(icvBytes === undefined ? {} : { icvBytes }),
  };
}

function ahTransform(half: SaHalf, extendedSequence: boolean): AhTransform {
  if (half.hash === undefined) throw unusable('AH without an integrity algorithm');
  return new AhTransform(half.hash, half.integrityKey, { icvBytes: half.icvBytes, extendedSequence });
}

/** In IPv6 every extension header is a multiple of 8 bytes (RFC 4302 3.3.3.2.1). */
function outboundAhOf(half: SaHalf, { peer, extendedSequence = false }: SaPair): OutboundAh {
  const { spi, sequence = 0 } = half;
  const transform = ahTransform(half, extendedSequence);
  const bytes = ahBytes(transform.icvBytes, addressFamily(peer) === 6 ? 8 : 4);
  return { spi, transform, bytes, blankIcv: new Uint8Array(bytes - ahFixedBytes), sequence };
}

function selectorOf(pair: SaPair): PacketSelector {
  const selector = packetSelector(carriedSelector(pair));
  if (selector === undefined) throw unusable('traffic between IPv4 and IPv6');
  return selector;
}
