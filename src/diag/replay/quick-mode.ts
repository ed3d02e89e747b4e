/** One quick mode of a capture: what was asked, what was chosen, what became of it. */
import type { NegotiationFailure } from '../../ike/api.js';
import { modeOfEncapsulation, requestedEncapsulation } from '../../ike/encapsulation.js';
import { asExchangeError } from '../../ike/exchange-error.js';
import { selectorOfIds } from '../../ike/identity.js';
import { ByteReader } from '../../wire/bytes.js';
import { printSelector, type Selector } from '../../wire/ip/selector.js';
import { findPayload, findPayloads, type PayloadChain } from '../../wire/isakmp/message.js';
import { nameOf, protocols } from '../../wire/isakmp/numbers.js';
import type { SaPayload } from '../../wire/isakmp/payloads.js';
import { printSpi } from './datagrams.js';
import { type Sides, silence } from './outcome.js';
import { proposalDecision } from './proposals.js';
import type { ProtectedFlow, ReplayQuickMode, Role } from './report.js';

interface SeenMessage {
  readonly from: Role;
  readonly chain: PayloadChain | undefined;
  readonly toNatPort: boolean;
  transmissions: number;
  lastAtSeconds: number;
}

/** What message 1 asks for, where it could be read. */
export interface QuickModeRequestSeen {
  readonly sa: SaPayload;
  readonly keyExchange: boolean;
  readonly mode: 'transport' | 'tunnel';
  /** As the initiator of the quick mode sees it. */
  readonly selector: Selector;
}

/** Messages of one quick mode looked at: three, and a CONNECTED notification. */
const mostMessages = 8;

export class QuickModeReplay {
  readonly messageId: number;
  readonly #seen: SeenMessage[] = [];
  readonly #sides: Sides;
  #failure: NegotiationFailure | undefined;

  constructor(messageId: number, sides: Sides) {
    this.messageId = messageId;
    this.#sides = sides;
  }

  get initiator(): Role {
    return this.#seen[0]?.from ?? 'initiator';
  }

  get complete(): boolean {
    return this.#seen.length >= 3;
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Takes a new message and returns its number, from 1. */
  add(from: Role, chain: PayloadChain | undefined, atSeconds: number, toNatPort: boolean): number {
    const message = { from, chain, toNatPort, transmissions: 1, lastAtSeconds: atSeconds };
    if (this.#seen.length < mostMessages) this.#seen.push(message);
    return this.#seen.length;
  }

  repeated(number: number, atSeconds: number): void {
    const message = this.#seen[number - 1];
    if (message === undefined) return;
    message.transmissions++;
    message.lastAtSeconds = atSeconds;
  }

  refuse(failure: NegotiationFailure): void {
    this.#failure ??= failure;
  }

  /** What was asked for; `undefined` when it cannot be read. */
  request(nat: boolean): QuickModeRequestSeen | undefined {
    const chain = this.#seen[0]?.chain;
    const sa = chain && findPayload(chain, 'sa')?.payload;
    const mode = sa && modeOfEncapsulation(requestedEncapsulation(sa) ?? 0);
    if (chain === undefined || sa === undefined || mode === undefined) return undefined;
    const other = this.initiator === 'initiator' ? 'responder' : 'initiator';
    try {
      const selector = selectorOfIds(
        findPayloads(chain, 'id').map(({ payload }) => payload),
        {
          mode,
          nat,
          initiator: this.#sides[this.initiator].address,
          responder: this.#sides[other].address,
        },
      );
      return { sa, keyExchange: findPayload(chain, 'ke') !== undefined, mode, selector };
    } catch (error) {
      asExchangeError(error);
      return undefined;
    }
  }

  /** What was chosen; `undefined` when it cannot be read. */
  answer(): { readonly sa: SaPayload; readonly keyExchange: boolean } | undefined {
    const chain = this.#seen[1]?.chain;
    const sa = chain && findPayload(chain, 'sa')?.payload;
    return sa && { sa, keyExchange: findPayload(chain, 'ke') !== undefined };
  }

  finish(endsAtSeconds: number, nat: boolean, flows: readonly ProtectedFlow[]): ReplayQuickMode {
    const [first, second] = this.#seen;
    const offer = first?.chain && findPayload(first.chain, 'sa')?.payload;
    const answer = second?.chain && findPayload(second.chain, 'sa')?.payload;
    const request = this.request(nat);
    const failure = this.#failure ?? this.#silence(endsAtSeconds);
    const base = {
      messageId: this.messageId.toString(16).padStart(8, '0'),
      initiator: this.initiator,
      ...(request === undefined
        ? {}
        : { traffic: `${request.mode} mode for ${printSelector(request.selector)}` }),
      ...(offer === undefined ? {} : { proposals: proposalDecision(offer, answer) }),
      spis: [...this.#spis(offer, 'answerer', flows), ...this.#spis(answer, 'asker', flows)],
    };
    if (this.complete) return { ...base, outcome: 'established', text: 'its SAs are established' };
    if (failure !== undefined) return { ...base, outcome: 'failed', failure, text: failure.text };
    if (first?.chain === undefined)
      return {
        ...base,
        outcome: 'unreadable',
        text: `${this.#seen.length} encrypted messages, and no key for them`,
      };
    return { ...base, outcome: 'unfinished', text: `the capture ends behind message ${this.#seen.length}` };
  }

  #silence(endsAtSeconds: number): NegotiationFailure | undefined {
    const [only, second] = this.#seen;
    if (only === undefined || second !== undefined) return undefined;
    const waitedSeconds = endsAtSeconds - only.lastAtSeconds;
    if (only.transmissions < 2 && waitedSeconds < 5) return undefined;
    return silence(this.#sides, {
      mode: 'quick',
      message: 'quick mode 1',
      by: only.from,
      transmissions: only.transmissions,
      waitedSeconds,
      preshared: false,
      toNatPort: only.toNatPort,
    });
  }

  /** The SPIs in an SA payload: its sender chose them for what it receives. */
  #spis(sa: SaPayload | undefined, sentTo: 'answerer' | 'asker', flows: readonly ProtectedFlow[]) {
    const asker = this.initiator;
    const answerer: Role = asker === 'initiator' ? 'responder' : 'initiator';
    const receiver = sentTo === 'answerer' ? asker : answerer;
    const seen = new Set<string>();
    return (sa?.proposals ?? []).flatMap(({ protocol, spi }) => {
      if (spi.length !== 4) return [];
      const printed = printSpi(new ByteReader(spi).u32('SPI'));
      const key = `${protocol} ${printed}`;
      if (seen.has(key)) return [];
      seen.add(key);
      const to = this.#sides[receiver].address;
      const packets = flows
        .filter(flow => flow.spi === printed && flow.destination === to)
        .reduce((sum, flow) => sum + flow.packets, 0);
      return [{ receiver, protocol: nameOf(protocols, protocol), spi: printed, packets }];
    });
  }
}
