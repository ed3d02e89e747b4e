/**
 * Run on a host with a device's name: prints one line for every IPv4 packet that crosses the device, `esp 192.0.2.1 >
 * 192.0.2.2 …`, `ike …` or `clear …`, once it has said `watching`. Unlike tcpdump it also works as an ordinary user's
 * root of a user namespace.
 */
import { captureFrames } from '../../src/driver/userspace/frame-capture.js';
import { espSequence, espSpi } from '../../src/wire/esp.js';
import {
  decodeIpv4,
  destinationPortOf,
  ipProtocol,
  ipv4FromNumber,
  sourcePortOf,
} from '../../src/wire/ip/packet.js';

const ethernetHeaderBytes = 14;
const ikePorts = [500, 4500];

function describe(frame: Uint8Array): string | undefined {
  if (frame[12] !== 0x08 || frame[13] !== 0x00) return undefined;
  const packet = frame.subarray(ethernetHeaderBytes);
  const header = decodeIpv4(packet);
  const ends = `${ipv4FromNumber(header.source)} > ${ipv4FromNumber(header.destination)}`;
  const { protocol, totalLength, headerBytes } = header;
  if (protocol === ipProtocol.esp) {
    const esp = packet.subarray(headerBytes, totalLength);
    return `esp ${ends} spi=0x${espSpi(esp).toString(16)} seq=${espSequence(esp)} ${esp.length} bytes`;
  }
  const ports = [sourcePortOf(packet, header), destinationPortOf(packet, header)];
  const ike = protocol === ipProtocol.udp && ports.every(port => ikePorts.includes(port));
  return `${ike ? 'ike' : 'clear'} ${ends} protocol ${protocol} ports ${ports.join('/')} ${totalLength} bytes`;
}

captureFrames(
  process.argv[2] ?? 'eth0',
  frames => {
    const lines = frames.map(describe).filter(line => line !== undefined);
    if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`);
  },
  error => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
);
process.stdout.write('watching\n');
