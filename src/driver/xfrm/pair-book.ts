import type { IpAddress } from '../../wire/ip/address.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type { Endpoint, PairId, SaHalf, SaPair } from '../api.js';
import type { InstalledPair } from '../installed-pair.js';
import { policyKey } from './policy-table.js';
import type { KernelPair } from './states.js';

/** A pair in the kernel, and what has been told of it. */
export class PairRecord implements KernelPair {
  readonly pair: SaPair;
  readonly requestId: number;
  readonly installedAtMs: number;
  peer: Endpoint;
  outboundActive = false;
  inboundUsed = false;
  softExpired = false;
  hardExpired = false;
  /** Packets with a wrong ICV, as last looked at; with them, what tries such packets again. */
  notAuthenticated = 0;
  suspect: InstalledPair | undefined;

  constructor(pair: SaPair, requestId: number, nowMs: number) {
    this.pair = pair;
    this.requestId = requestId;
    this.installedAtMs = nowMs;
    this.peer = { address: pair.peer, port: pair.udpEncapsulation?.peerPort ?? 0 };
  }
}

/** The pairs in the kernel. */
export class PairBook {
  readonly #pairs = new Map<PairId, PairRecord>();
  readonly #byRequestId = new Map<number, PairRecord>();
  /** By what their inbound SAs are told apart by. */
  readonly #receiving = new Map<string, PairRecord>();

  get size(): number {
    return this.#pairs.size;
  }

  all(): IterableIterator<PairRecord> {
    return this.#pairs.values();
  }

  find(id: PairId): PairRecord | undefined {
    return this.#pairs.get(id);
  }

  byRequestId(requestId: number): PairRecord | undefined {
    return this.#byRequestId.get(requestId);
  }

  /** The pair one of whose SAs receives with this SPI at this address. */
  receivingWith(protocol: SaHalf['protocol'], spi: number, local: IpAddress): PairRecord | undefined {
    return this.#receiving.get(`${protocol} ${spi} ${local}`);
  }

  add(record: PairRecord): void {
    this.#pairs.set(record.pair.id, record);
    this.#byRequestId.set(record.requestId, record);
    for (const key of receivingKeys(record)) this.#receiving.set(key, record);
  }

  remove(record: PairRecord): void {
    this.#pairs.delete(record.pair.id);
    this.#byRequestId.delete(record.requestId);
    for (const key of receivingKeys(record)) this.#receiving.delete(key);
  }
}

function receivingKeys({ pair }: PairRecord): string[] {
  return pair.inbound.map(({ protocol, spi }) => `${protocol} ${spi} ${pair.local}`);
}

/** What must be done to policies. */
export interface PolicyTurn {
  readonly put: readonly XfrmPolicy[];
  readonly remove: readonly XfrmPolicy[];
}

/** Policies of which several pairs have the same: the newest pair's is in force. */
export class StackedPolicies {
  /** By what the kernel tells policies apart by; newest last. */
  readonly #stacks = new Map<string, { readonly owner: PairRecord; readonly policy: XfrmPolicy }[]>();

  /** The policies to be put in force. */
  add(owner: PairRecord, policies: readonly XfrmPolicy[]): readonly XfrmPolicy[] {
    for (const policy of policies) {
      const key = policyKey(policy);
      const others = (this.#stacks.get(key) ?? []).filter(entry => entry.owner !== owner);
      this.#stacks.set(key, [...others, { owner, policy }]);
    }
    return policies;
  }

  /** Takes away the policies of an owner. `policies` are those it was added with. */
  remove(owner: PairRecord, policies: readonly XfrmPolicy[]): PolicyTurn {
    const put: XfrmPolicy[] = [];
    const remove: XfrmPolicy[] = [];
    for (const policy of policies) {
      const key = policyKey(policy);
      const stack = this.#stacks.get(key) ?? [];
      const left = stack.filter(entry => entry.owner !== owner);
      if (left.length === stack.length) continue;
      const top = left.at(-1);
      if (top === undefined) {
        this.#stacks.delete(key);
        remove.push(policy);
      } else {
        this.#stacks.set(key, left);
        if (stack.at(-1)?.owner === owner) put.push(top.policy);
      }
    }
    return { put, remove };
  }

  clear(): void {
    this.#stacks.clear();
  }

  /** Those in force. */
  all(): XfrmPolicy[] {
    return [...this.#stacks.values()].flatMap(stack => stack.slice(-1).map(({ policy }) => policy));
  }
}
