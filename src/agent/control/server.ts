import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { ExportedKeys, NegotiationFailure, NegotiationStep, UserPrompt } from '../../ike/api.js';
import { IpseckitError } from '../../report/errors.js';
import type { PromptAnswers } from '../agent.js';
import { NegotiationError } from '../failure.js';
import { keysToDocument } from './keys-document.js';
import { LineSplitter } from './lines.js';
import { PendingPrompts } from './pending-prompts.js';
import {
  type ControlError,
  type ControlMethod,
  type ControlReply,
  itemsPerLine,
  longestLineBytes,
} from './protocol.js';

/** What a long call may use besides its parameters. */
export interface ControlCall {
  onStep(step: NegotiationStep): void;
  onKeys(keys: ExportedKeys): void;
  /** Asks the user at the other end; `undefined` when nobody is there, or the connection closes. */
  ask(prompt: UserPrompt): Promise<PromptAnswers | undefined>;
  /** Aborted when the client closes the connection. */
  readonly closed: AbortSignal;
}

/** Carries one call out. `params` is whatever came over the socket: check it. */
export type ControlHandler = (params: unknown, call: ControlCall) => unknown;
export type ControlHandlers = Readonly<Record<ControlMethod, ControlHandler>>;

/** Serves the control socket. Whatever a client sends, the worst outcome is an error reply and a closed connection. */
export class ControlServer {
  readonly #path: string;
  readonly #handlers: ReadonlyMap<string, ControlHandler>;
  readonly #connections = new Set<Socket>();
  #server: Server | undefined;

  constructor(path: string, handlers: ControlHandlers) {
    this.#path = path;
    this.#handlers = new Map(Object.entries(handlers));
  }

  /** Throws `IpseckitError`: CONFLICT when a live agent holds the socket, ENVIRONMENT when it cannot be made. */
  async listen(): Promise<void> {
    if (await answers(this.#path))
      throw new IpseckitError('CONFLICT', `a policy agent already runs here (${this.#path})`, {
        next: '"ipseckit agent status" shows it, "ipseckit agent stop" ends it',
      });
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      rmSync(this.#path, { force: true });
      this.#server = createServer(socket => this.#serve(socket));
      const server = this.#server;
      const oldMask = process.umask(0o177);
      try {
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject).listen(this.#path, resolve);
        });
      } finally {
        process.umask(oldMask);
      }
      chmodSync(this.#path, 0o600);
    } catch (error) {
      throw new IpseckitError(
        'ENVIRONMENT',
        `cannot open the control socket ${this.#path}: ${String(error)}`,
        {
          next: 'run as root, or point IPSECKIT_HOME at a folder you may write',
          cause: error,
        },
      );
    }
  }

  close(): void {
    this.#server?.close();
    for (const connection of this.#connections) connection.end();
    rmSync(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    const closed = new AbortController();
    const reply = (message: ControlReply) => {
      if (!socket.destroyed) socket.write(`${JSON.stringify(message)}\n`);
    };
    const refuse = (id: number, message: string) => {
      reply({ id, error: { code: 'USAGE', message } });
      socket.end();
    };
    const prompts = new PendingPrompts(closed.signal);
    const lines = new LineSplitter(
      longestLineBytes,
      line => prompts.take(line) || this.#answer(line, reply, refuse, prompts, closed.signal),
      () => refuse(0, `a request over ${longestLineBytes} bytes`),
    );
    socket.on('data', chunk => lines.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(socket);
      closed.abort();
    });
  }

  #answer(
    line: string,
    reply: (message: ControlReply) => void,
    refuse: (id: number, message: string) => void,
    prompts: PendingPrompts,
    closed: AbortSignal,
  ): void {
    const request = parseRequest(line);
    if (request === undefined)
      return refuse(0, 'not a request: {"id":number,"method":string,"params":object} on one line');
    const handler = this.#handlers.get(request.method);
    if (handler === undefined) return refuse(request.id, `no such method: ${request.method.slice(0, 60)}`);
    const { id } = request;
    const call: ControlCall = {
      onStep: step => reply({ id, step }),
      onKeys: keys => reply({ id, keys: keysToDocument(keys) }),
      ask: prompt => {
        reply({ id, prompt });
        return prompts.add(prompt);
      },
      closed,
    };
    Promise.resolve()
      .then(() => handler(request.params ?? {}, call))
      .then(
        result => replyWith(request.id, result ?? {}, reply),
        (error: unknown) => reply({ id: request.id, error: controlError(error) }),
      );
  }
}

/** A long list in parts, so that no line grows with it. */
function replyWith(id: number, result: unknown, reply: (message: ControlReply) => void): void {
  if (!Array.isArray(result)) return reply({ id, result });
  const list: readonly unknown[] = result;
  let sent = 0;
  for (; list.length - sent > itemsPerLine; sent += itemsPerLine)
    reply({ id, part: list.slice(sent, sent + itemsPerLine) });
  reply({ id, result: list.slice(sent) });
}

function parseRequest(line: string): { id: number; method: string; params?: unknown } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, method, params }: { id?: unknown; method?: unknown; params?: unknown } = value;
  if (typeof id !== 'number' || typeof method !== 'string') return undefined;
  return { id, method, params };
}

function controlError(error: unknown): ControlError {
  if (error instanceof NegotiationError)
    return { ...error.toJSON(), failure: error.failure satisfies NegotiationFailure };
  if (error instanceof IpseckitError) return error.toJSON();
  return { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error) };
}

/** Whether something accepts connections on a Unix socket. */
function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
