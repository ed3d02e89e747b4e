/** Records the datagrams of a simulated negotiation as a capture, as a tcpdump between the two hosts would. */
import type { IkeDatagram } from '../../src/driver/api.js';
import type { ExportedKeys } from '../../src/ike/api.js';
import { wiresharkLines } from '../../src/monitor/wireshark-keys.js';
import { toHex } from '../../src/wire/bytes.js';
import { linkTypes } from '../../src/wire/captured-packet.js';
import { enhancedPacket, interfaceDescription, sectionHeader } from '../../src/wire/pcapng/writer.js';
import type { Simulation } from '../ike/harness.js';
import { udpPacket } from './packets.js';

export class IkeRecording {
  readonly #blocks: Uint8Array[] = [
    sectionHeader({ application: 'ipseckit test' }),
    interfaceDescription({ name: 'wire', linkType: linkTypes.RAW }),
  ];

  /** Records everything sent from now on. `deliver` decides what arrives. */
  constructor(net: Simulation, deliver: Simulation['translate'] = datagram => datagram) {
    net.translate = datagram => {
      this.add(net.nowMs, datagram);
      return deliver(datagram);
    };
  }

  add(atMs: number, { local, peer, bytes }: IkeDatagram): void {
    const data = peer.port === 500 ? bytes : Buffer.concat([new Uint8Array(4), bytes]);
    const packet = udpPacket({
      source: local.address,
      destination: peer.address,
      sourcePort: local.port,
      destinationPort: peer.port,
      data: Uint8Array.from(data),
    });
    this.#blocks.push(
      enhancedPacket({ interfaceId: 0, timestampNs: BigInt(Math.round(atMs * 1e6)), bytes: packet }),
    );
  }

  /** An empty packet at a time: the capture goes on until then. */
  endAt(atMs: number): void {
    this.#blocks.push(
      enhancedPacket({
        interfaceId: 0,
        timestampNs: BigInt(Math.round(atMs * 1e6)),
        bytes: Uint8Array.of(0),
      }),
    );
  }

  get file(): Uint8Array {
    return Uint8Array.from(Buffer.concat(this.#blocks));
  }
}

/** The IKE keys a host has exported, as replaying wants them. */
export function ikeKeysOf(keys: readonly ExportedKeys[]): Map<string, Uint8Array> {
  return new Map(
    keys.flatMap(one =>
      one.kind === 'ike' ? [[toHex(one.initiatorCookie), one.encryptionKey] as const] : [],
    ),
  );
}

/** The text of a host's key table. */
export function keyTableOf(keys: readonly ExportedKeys[]): string {
  return keys
    .flatMap(wiresharkLines)
    .filter(({ table }) => table === 'ikev1_decryption_table')
    .map(({ line }) => `${line}\n`)
    .join('');
}
