/**
 * What `remote-shell.ts`, inside a User Mode Linux machine, and `remote-client.ts`, outside, say to each other: each
 * TCP connection is one program run there, or one Unix socket of there. The first line says which; then come JSON
 * lines for a program, and the socket's own bytes, after the line `connected`, for a socket.
 */
import type { Duplex } from 'node:stream';

export type RemoteRequest =
  | { readonly kind: 'run'; readonly command: string; readonly args: readonly string[] }
  | { readonly kind: 'connect'; readonly path: string };

/** To the program; bytes are in base64. */
export type ToProgram =
  | { readonly kind: 'stdin'; readonly bytes: string }
  | { readonly kind: 'end' }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals };

/** From the program. A program that cannot be started says so on stderr and exits with 127. */
export type FromProgram =
  | { readonly kind: 'stdout' | 'stderr'; readonly bytes: string }
  | { readonly kind: 'exit'; readonly code: number | null; readonly signal: NodeJS.Signals | null };

export const remotePort = 2222;
/** The line that says a Unix socket is connected. */
export const connectedLine = 'connected';

/** Calls `onLine` for each line. */
export function readLines(stream: Duplex, onLine: (line: string) => void): void {
  let pending = '';
  stream.on('data', (chunk: Buffer) => {
    const lines = (pending + chunk.toString('latin1')).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
}

/** Calls `onLine` for the first line; what follows is left in the stream, which is paused. */
export function readFirstLine(stream: Duplex, onLine: (line: string) => void): void {
  let pending = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    const end = pending.indexOf('\n');
    if (end < 0) return;
    stream.off('data', onData).pause();
    if (pending.length > end + 1) stream.unshift(pending.subarray(end + 1));
    onLine(pending.toString('utf8', 0, end));
  };
  stream.on('data', onData);
}
