import type { IpAddress } from '../../wire/ip/address.js';
import { decodeEchoReply, encodeEchoRequest } from './icmp-echo.js';
import type { PingResult } from './probes.js';

const attempts = 2;
const patienceMs = 1_000;

/** Sends up to two echo requests to an IPv4 address, each with a second to be answered. */
export async function ping(address: IpAddress): Promise<PingResult> {
  // A native module: without its binary, and without the right to raw sockets, the test is skipped.
  let socket: import('raw-socket').RawSocket;
  try {
    const { default: raw } = await import('raw-socket');
    socket = raw.createSocket({ protocol: raw.Protocol.ICMP });
  } catch (error) {
    return { kind: 'impossible', reason: error instanceof Error ? error.message : String(error) };
  }
  try {
    for (let sequence = 1; sequence <= attempts; sequence++) {
      const result = await once(socket, address, sequence);
      if (result.kind !== 'silent') return result;
    }
    return { kind: 'silent' };
  } finally {
    socket.close();
  }
}

function once(
  socket: import('raw-socket').RawSocket,
  address: IpAddress,
  sequence: number,
): Promise<PingResult> {
  const identifier = process.pid & 0xffff;
  const startedAt = performance.now();
  return new Promise(resolve => {
    const done = (result: PingResult) => {
      clearTimeout(timer);
      socket.removeAllListeners('message');
      resolve(result);
    };
    const timer = setTimeout(() => done({ kind: 'silent' }), patienceMs);
    socket.on('error', () => done({ kind: 'silent' }));
    socket.on('message', (packet: Buffer, source: string) => {
      const echo = decodeEchoReply(packet);
      if (source === address && echo?.identifier === identifier && echo.sequence === sequence)
        done({ kind: 'answered', milliseconds: performance.now() - startedAt });
    });
    const request = Buffer.from(encodeEchoRequest({ identifier, sequence }));
    socket.send(request, 0, request.length, address, error => {
      // No route, or a firewall of our own: the same as no answer.
      if (error) done({ kind: 'silent' });
    });
  });
}
