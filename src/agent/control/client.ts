import { createConnection } from 'node:net';
import type { NegotiationStep } from '../../ike/api.js';
import { type ErrorCode, errorClasses, IpseckitError } from '../../report/errors.js';
import { NegotiationError } from '../failure.js';
import { LineSplitter } from './lines.js';
import {
  type ControlError,
  type ControlMethod,
  type ControlMethods,
  type ControlReply,
  longestLineBytes,
} from './protocol.js';

/**
 * Calls the agent behind the control socket at `path`. Throws `IpseckitError`: AGENT_UNREACHABLE when nothing
 * answers, ACCESS_DENIED when the socket is somebody else's, otherwise what the agent said.
 */
export function callAgent<M extends ControlMethod>(
  path: string,
  method: M,
  params: ControlMethods[M]['params'],
  options: { readonly timeoutMs?: number; readonly onStep?: (step: NegotiationStep) => void } = {},
): Promise<ControlMethods[M]['result']> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const timeoutMs = options.timeoutMs ?? 10_000;
    const timer = setTimeout(
      () => fail(unreachable(path, `no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
    };
    const fail = (error: IpseckitError) => {
      done();
      reject(error);
    };
    const lines = new LineSplitter(
      longestLineBytes,
      line => {
        const reply: ControlReply = JSON.parse(line);
        if ('step' in reply) return options.onStep?.(reply.step);
        if ('error' in reply) return fail(errorOf(reply.error));
        done();
        resolve(reply.result as ControlMethods[M]['result']);
      },
      () => fail(new IpseckitError('INTERNAL', 'the agent sent an answer too long to read')),
    );
    socket.on('connect', () => socket.write(`${JSON.stringify({ id: 1, method, params })}\n`));
    socket.on('data', chunk => lines.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      fail(
        error.code === 'EACCES' || error.code === 'EPERM'
          ? new IpseckitError('ACCESS_DENIED', `access denied to the policy agent's socket ${path}`, {
              next: 'run the command as the user the agent runs as (usually root)',
            })
          : unreachable(path, error.code ?? error.message),
      ),
    );
    socket.on('close', () => fail(unreachable(path, 'the agent closed the connection')));
  });
}

function unreachable(path: string, why: string): IpseckitError {
  return new IpseckitError('AGENT_UNREACHABLE', `the policy agent is not running (${path}: ${why})`, {
    next: 'start it with "ipseckit agent start"',
  });
}

function errorOf(error: ControlError): IpseckitError {
  if (error.failure) return new NegotiationError(error.failure);
  const code = (Object.keys(errorClasses) as ErrorCode[]).find(known => known === error.code) ?? 'INTERNAL';
  return new IpseckitError(code, error.message, error.next === undefined ? {} : { next: error.next });
}
