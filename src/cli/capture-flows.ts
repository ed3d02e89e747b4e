/** The flows in a capture, seen from one computer. */
import { directionOf, type Packet } from '../policy/packet.js';
import { IpseckitError } from '../report/errors.js';
import { WireError } from '../wire/bytes.js';
import { ipPacketOf } from '../wire/captured-packet.js';
import type { IpAddress } from '../wire/ip/address.js';
import { flowOfPacket } from '../wire/ip/flow-of-packet.js';
import { readCapture } from '../wire/pcap.js';

export interface CaptureFlows {
  readonly flows: readonly { readonly packet: Packet; readonly packets: number }[];
  /** Packets between other computers. */
  readonly passingBy: number;
  /** Packets that are no IP, or too little of one. */
  readonly notIp: number;
  /** Later fragments: they have no ports to be looked at by. */
  readonly fragments: number;
}

/**
 * Every flow with an end on this computer, each once with the number of its packets, in the order they begin. Throws
 * `IpseckitError` (USAGE) that says where the file is damaged.
 */
export function captureFlows(file: Uint8Array, path: string, local: readonly IpAddress[]): CaptureFlows {
  const flows = new Map<string, { packet: Packet; packets: number }>();
  let [passingBy, notIp, fragments, read] = [0, 0, 0, 0];
  try {
    for (const captured of readCapture(file)) {
      read++;
      const bytes = ipPacketOf(captured);
      const flow = bytes && flowOfPacket(bytes);
      if (flow === undefined) notIp++;
      else if (flow.laterFragment) fragments++;
      else {
        const direction = directionOf(flow.source, flow.destination, local);
        if (direction === undefined) {
          passingBy++;
          continue;
        }
        const { source, destination, protocol, sourcePort, destinationPort } = flow;
        const key = `${source} ${sourcePort} ${destination} ${destinationPort} ${protocol}`;
        const known = flows.get(key);
        if (known !== undefined) known.packets++;
        else
          flows.set(key, {
            packet: { direction, source, destination, protocol, sourcePort, destinationPort },
            packets: 1,
          });
      }
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new IpseckitError('USAGE', `${path}, behind ${read} packets: ${error.message}`, {
      next: 'capture again, or repair it ("editcap" of Wireshark copies what is readable)',
      cause: error,
    });
  }
  return { flows: [...flows.values()], passingBy, notIp, fragments };
}
