import { decodeAh } from '../../wire/ah.js';
import { classifyEncapsulated, espHeaderBytes, espSpi } from '../../wire/esp.js';
import {
  addressOf,
  decodeIp,
  type IpHeader,
  isFragmentOfIp,
  orUndefined,
  portsOf,
  upperStart,
} from '../../wire/ip/ip.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import type { Endpoint, Spi } from '../api.js';
import { ikePort, natTraversalPort } from '../ike-ports.js';
import type { UdpDatagram } from '../userspace/io.js';

const udpHeaderBytes = 8;

/** A protected packet as it came in, before the kernel took it. */
export interface Arrival {
  readonly protocol: 'esp' | 'ah';
  readonly spi: Spi;
  readonly packet: Uint8Array;
  readonly header: IpHeader;
  /** The ESP, or the AH with what is behind it. */
  readonly body: Uint8Array;
  /** Ends of the UDP it came in. */
  readonly udp?: UdpDatagram;
  /** Where IKE about it goes. */
  readonly local: Endpoint;
  readonly peer: Endpoint;
}

/** The ESP or AH in an IP packet; `undefined` for all else, IKE and fragments included. */
export function arrivalOf(packet: Uint8Array): Arrival | undefined {
  const header = orUndefined(() => decodeIp(packet));
  if (header === undefined || isFragmentOfIp(header)) return undefined;
  const body = packet.subarray(upperStart(header), header.totalLength);
  const ends = (localPort: number, peerPort: number) => ({
    local: { address: addressOf(header.destination), port: localPort },
    peer: { address: addressOf(header.source), port: peerPort },
  });
  const common = { packet, header, ...ends(ikePort, ikePort) };
  if (header.protocol === ipProtocol.esp) {
    if (body.length < espHeaderBytes) return undefined;
    return { protocol: 'esp', spi: espSpi(body) as Spi, body, ...common };
  }
  if (header.protocol === ipProtocol.ah) {
    const ah = orUndefined(() => decodeAh(body));
    return ah && { protocol: 'ah', spi: ah.spi as Spi, body, ...common };
  }
  if (header.protocol !== ipProtocol.udp) return undefined;
  const { source, destination } = portsOf(packet, header);
  const payload = body.subarray(udpHeaderBytes);
  if (destination !== natTraversalPort || classifyEncapsulated(payload) !== 'esp') return undefined;
  const { local, peer } = ends(destination, source);
  const udp = { local, peer, payload };
  return { protocol: 'esp', spi: espSpi(payload) as Spi, packet, header, body: payload, udp, local, peer };
}
