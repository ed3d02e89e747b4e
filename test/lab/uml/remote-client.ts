/**
 * `remote-client.js ADDRESS run COMMAND [ARGS]`: runs a program inside a User Mode Linux machine as if it ran here:
 * its input, output, exit status, and the signals SIGINT and SIGTERM. `remote-client.js ADDRESS connect PATH`: joins
 * stdin and stdout with a Unix socket there; says so on stderr when they are.
 */
import { connect } from 'node:net';
import {
  type FromProgram,
  type RemoteRequest,
  readFirstLine,
  readLines,
  remotePort,
  type ToProgram,
} from './remote.js';

const [address = '', kind = '', target = '', ...args] = process.argv.slice(2);
const request: RemoteRequest =
  kind === 'connect' ? { kind, path: target } : { kind: 'run', command: target, args };
const socket = connect(remotePort, address, () => {
  socket.setNoDelay(true);
  socket.write(`${JSON.stringify(request)}\n`);
  if (request.kind === 'run') joinProgram();
  else joinSocket();
});
socket.on('error', error => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});

function joinProgram(): void {
  const say = (message: ToProgram) => socket.write(`${JSON.stringify(message)}\n`);
  process.stdin.on('data', (chunk: Buffer) => say({ kind: 'stdin', bytes: chunk.toString('base64') }));
  process.stdin.on('end', () => say({ kind: 'end' }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => say({ kind: 'signal', signal }));
  readLines(socket, line => {
    const message: FromProgram = JSON.parse(line);
    if (message.kind !== 'exit') process[message.kind].write(Buffer.from(message.bytes, 'base64'));
    else if (message.signal !== null) process.exit(128);
    else process.exit(message.code ?? 1);
  });
  socket.on('end', () => process.exit(1));
}

function joinSocket(): void {
  readFirstLine(socket, () => {
    process.stderr.write('connected\n');
    process.stdin.pipe(socket).pipe(process.stdout);
  });
  socket.on('close', () => process.exit(1));
}
