/** Inside a User Mode Linux machine: runs programs for `remote-client.ts` at the address given as argument. */
import { spawn } from 'node:child_process';
import { createConnection, createServer, type Socket } from 'node:net';
import {
  connectedLine,
  type FromProgram,
  type RemoteRequest,
  readFirstLine,
  readLines,
  remotePort,
  type ToProgram,
} from './remote.js';

createServer(serve).listen(remotePort, process.argv[2], () => console.log('remote shell ready'));

function serve(client: Socket): void {
  client.setNoDelay(true).on('error', () => client.destroy());
  readFirstLine(client, line => {
    const request: RemoteRequest = JSON.parse(line);
    if (request.kind === 'run') runProgram(client, request);
    else connectSocket(client, request.path);
  });
}

function runProgram(
  client: Socket,
  { command, args }: { readonly command: string; readonly args: readonly string[] },
): void {
  const say = (message: FromProgram) => {
    if (client.writable) client.write(`${JSON.stringify(message)}\n`);
  };
  const child = spawn(command, args, { stdio: 'pipe' });
  for (const kind of ['stdout', 'stderr'] as const)
    child[kind].on('data', (chunk: Buffer) => say({ kind, bytes: chunk.toString('base64') }));
  child.stdin.on('error', () => {}); // A program need not read what it is given.
  child.on('error', error => {
    say({ kind: 'stderr', bytes: Buffer.from(`${error.message}\n`).toString('base64') });
    say({ kind: 'exit', code: 127, signal: null });
    client.end();
  });
  child.on('close', (code, signal) => {
    say({ kind: 'exit', code, signal });
    client.end();
  });
  readLines(client, line => {
    const message: ToProgram = JSON.parse(line);
    if (message.kind === 'stdin') child.stdin.write(Buffer.from(message.bytes, 'base64'));
    else if (message.kind === 'end') child.stdin.end();
    else child.kill(message.signal);
  });
  // A client that is killed takes its program with it.
  client.on('close', () => child.kill('SIGKILL'));
  client.resume();
}

function connectSocket(client: Socket, path: string): void {
  const socket = createConnection(path, () => {
    client.write(`${connectedLine}\n`);
    client.pipe(socket).pipe(client);
  });
  socket.on('error', () => client.destroy());
  client.on('close', () => socket.destroy());
}
