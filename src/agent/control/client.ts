import { createConnection } from 'node:net';
import type { ExportedKeys, NegotiationStep, UserPrompt } from '../../ike/api.js';
import { type ErrorCode, errorClasses, IpseckitError } from '../../report/errors.js';
import type { PromptAnswers } from '../agent.js';
import { NegotiationError } from '../failure.js';
import { keysFromDocument } from './keys-document.js';
import { LineSplitter } from './lines.js';
import {
  type ControlAnswer,
  type ControlError,
  type ControlMethod,
  type ControlMethods,
  type ControlReply,
  longestLineBytes,
} from './protocol.js';

export interface CallOptions {
  /** Starts anew with each answer of the user. */
  readonly timeoutMs?: number;
  readonly onStep?: (step: NegotiationStep) => void;
  /** Asks the user; when absent, or without an answer, nobody is there. */
  readonly onPrompt?: (prompt: UserPrompt) => Promise<PromptAnswers | undefined>;
}

/**
 * Calls the agent behind the control socket at `path`. Throws `IpseckitError`: AGENT_UNREACHABLE when nothing
 * answers, ACCESS_DENIED when the socket is somebody else's, otherwise what the agent said.
 */
export function callAgent<M extends ControlMethod>(
  path: string,
  method: M,
  params: ControlMethods[M]['params'],
  options: CallOptions = {},
): Promise<ControlMethods[M]['result']> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const timeoutMs = options.timeoutMs ?? 10_000;
    const parts: unknown[] = [];
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
        if ('keys' in reply) return;
        if ('prompt' in reply) {
          answerPrompt(reply.prompt, options.onPrompt).then(answer => {
            timer.refresh();
            socket.write(`${JSON.stringify(answer)}\n`);
          }, fail);
          return;
        }
        if ('part' in reply) {
          for (const item of reply.part) parts.push(item);
          timer.refresh();
          return;
        }
        if ('error' in reply) return fail(errorOf(reply.error));
        done();
        const whole = Array.isArray(reply.result) ? [...parts, ...reply.result] : reply.result;
        resolve(whole as ControlMethods[M]['result']);
      },
      () => fail(new IpseckitError('INTERNAL', 'the agent sent an answer too long to read')),
    );
    socket.on('connect', () => socket.write(`${JSON.stringify({ id: 1, method, params })}\n`));
    socket.on('data', chunk => lines.push(chunk));
    socket.on('error', error => fail(connectionError(path, error)));
    socket.on('close', () => fail(unreachable(path, 'the agent closed the connection')));
  });
}

async function answerPrompt(
  prompt: UserPrompt,
  ask: CallOptions['onPrompt'] = async () => undefined,
): Promise<ControlAnswer> {
  const given = await ask(prompt);
  if (given === undefined) return { prompt: prompt.id };
  return {
    prompt: prompt.id,
    answers: Object.fromEntries(prompt.asks.map(field => [field, given[field]?.reveal() ?? ''])),
  };
}

function connectionError(path: string, error: NodeJS.ErrnoException): IpseckitError {
  return error.code === 'EACCES' || error.code === 'EPERM'
    ? new IpseckitError('ACCESS_DENIED', `access denied to the policy agent's socket ${path}`, {
        next: 'run the command as the user the agent runs as (usually root)',
      })
    : unreachable(path, error.code ?? error.message);
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

/**
 * Receives key material from the agent behind the control socket at `path` until `close`. Rejects as `callAgent` does;
 * resolves once the agent has the request. `onEnd` tells that the agent has gone meanwhile.
 */
export function watchAgentKeys(
  path: string,
  { onKeys, onEnd }: { onKeys(keys: ExportedKeys): void; onEnd(): void },
): Promise<{ close(): void }> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let isOpen = false;
    const fail = (error: IpseckitError) => {
      socket.destroy();
      if (!isOpen) reject(error);
    };
    const lines = new LineSplitter(
      longestLineBytes,
      line => {
        const reply: ControlReply = JSON.parse(line);
        if ('keys' in reply) onKeys(keysFromDocument(reply.keys));
        if ('error' in reply) fail(errorOf(reply.error));
      },
      () => fail(new IpseckitError('INTERNAL', 'the agent sent an answer too long to read')),
    );
    socket.on('connect', () => {
      socket.write('{"id":1,"method":"watchKeys","params":{}}\n');
      isOpen = true;
      resolve({
        close: () => {
          isOpen = false;
          socket.destroy();
        },
      });
    });
    socket.on('data', chunk => lines.push(chunk));
    socket.on('error', error => fail(connectionError(path, error)));
    socket.on('close', () => {
      if (isOpen) onEnd();
      fail(unreachable(path, 'the agent closed the connection'));
    });
  });
}
