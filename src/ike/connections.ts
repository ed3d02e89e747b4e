/** Who waits for a main mode itself, and for what the gateway configures us with, rather than for a pair of SAs. */
import type { ConnectRequest, FailureReason, NegotiationFailure } from './api.js';
import { emptyConfiguration } from './client-session.js';
import type { Context } from './context.js';
import { failure } from './failures.js';
import { type EstablishedMainMode, isReady, type MainMode } from './main-mode.js';
import { auditFailure } from './main-mode-life.js';

interface Waiting {
  readonly request: ConnectRequest;
  readonly mainMode: MainMode;
}

export class Connections {
  readonly #context: Context;
  readonly #onUnwanted: (mainMode: MainMode) => void;
  readonly #waiting = new Map<string, Waiting>();

  /** `onUnwanted` is told of a main mode whose last waiter has gone. */
  constructor(context: Context, onUnwanted: (mainMode: MainMode) => void) {
    this.#context = context;
    this.#onUnwanted = onUnwanted;
  }

  add(request: ConnectRequest, mainMode: MainMode): void {
    this.#waiting.set(request.id, { request, mainMode });
    if (isReady(mainMode)) this.ready(mainMode);
  }

  waitFor(mainMode: MainMode): boolean {
    return [...this.#waiting.values()].some(waiting => waiting.mainMode === mainMode);
  }

  ready(mainMode: EstablishedMainMode): void {
    const configuration = mainMode.client?.configuration ?? emptyConfiguration;
    for (const [requestId, { request }] of this.#waiting) {
      if (request.local !== mainMode.local || request.peer !== mainMode.peer) continue;
      this.#waiting.delete(requestId);
      this.#context.emit({ kind: 'connected', requestId, configuration });
    }
  }

  failed(mainMode: MainMode, reason: NegotiationFailure): void {
    for (const [requestId, waiting] of this.#waiting) {
      if (waiting.mainMode !== mainMode) continue;
      this.#waiting.delete(requestId);
      this.#report(requestId, reason);
    }
  }

  /** A request that cannot even begin. */
  refuse(request: ConnectRequest, reason: FailureReason, text: string): void {
    const refused = this.#failure(request, reason, text);
    auditFailure(this.#context, request, refused);
    this.#report(request.id, refused);
  }

  cancel(requestId: string): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting !== undefined) this.#give(waiting, 'cancelled', 'the request was withdrawn');
  }

  abandon(reason: FailureReason, text: string, isMeant: (waiting: Waiting) => boolean): void {
    for (const waiting of [...this.#waiting.values()])
      if (isMeant(waiting)) this.#give(waiting, reason, text);
  }

  #give({ request, mainMode }: Waiting, reason: FailureReason, text: string): void {
    this.#waiting.delete(request.id);
    this.#report(request.id, this.#failure(request, reason, text));
    this.#onUnwanted(mainMode);
  }

  #report(requestId: string, reason: NegotiationFailure): void {
    this.#context.counters.acquireFailures++;
    this.#context.emit({ kind: 'acquireFailed', requestId, failure: reason });
  }

  #failure({ local, peer }: ConnectRequest, reason: FailureReason, text: string): NegotiationFailure {
    return failure({ mode: 'main', local, peer, point: 'me', reason, text });
  }
}
