/** Applies `steering.ts` to the kernel of this network namespace, with the programs `nft` and `ip`. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { type IpAddress, parseIpAddress } from '../../wire/ip/address.js';
import { subnetRange } from '../../wire/ip/selector.js';
import type { AssignedAddress, DriverFilter, FilterId, SoftSa } from '../api.js';
import { AssignedAddresses } from '../assigned-addresses.js';
import { run, runSync } from '../host-programs.js';
import { steeringNames } from '../kernel-names.js';
import { steadyClock } from '../steady-clock.js';
import { Turns } from '../turns.js';
import type { SteeredPort } from './client-ports.js';
import { hasIpv6 } from './sockets.js';
import {
  filterComment,
  generationChain,
  nftRemoval,
  nftRuleset,
  nftTranslatedPort,
  type SteeringOptions,
  softElement,
  softSetOf,
  translatedComment,
} from './steering.js';
import { fallbackRoutes, routingRemoval, routingSetup, secureRoute } from './steering-routes.js';
import { configureTun } from './tun.js';

/** What does not change while the driver runs. */
export type KernelSteeringOptions = Omit<
  SteeringOptions,
  | 'generation'
  | 'localAddresses'
  | 'broadcastAddresses'
  | 'innerMtuBytes'
  | 'softElements'
  | 'translatedPorts'
> & {
  readonly tunMtuBytes: number;
  /** Of routes from assigned addresses. */
  readonly assignedMtuBytes: number;
};

/** Packets that nftables counted, over all rule sets since the start. */
export interface SteeringCounters {
  readonly filters: ReadonlyMap<FilterId, number>;
  /** Of these, dropped ones, by filters that dropped any. */
  readonly drops: ReadonlyMap<FilterId, number>;
  readonly blocked: number;
  readonly clearButSecured: number;
}

/** The nftables table and the policy routing in force. */
export class KernelSteering {
  readonly #options: KernelSteeringOptions;
  #filters: readonly DriverFilter[] = [];
  #innerMtuBytes = 0;
  #translatedPorts: readonly SteeredPort[] = [];
  /** Soft SAs, by filter and hosts. */
  readonly #soft = new Map<string, SoftSa>();
  /** Of the rules in force; none yet when absent. */
  #generation: string | undefined;
  readonly #assigned: AssignedAddresses;
  /** Counted under rule sets that have been replaced. */
  #earlier: SteeringCounters = {
    filters: new Map(),
    drops: new Map(),
    blocked: 0,
    clearButSecured: 0,
  };
  #latest: SteeringCounters = this.#earlier;
  #readAtMs = Number.NEGATIVE_INFINITY;
  /** One `nft` at a time: counters are read between two rule sets, not during the change. */
  readonly #turns = new Turns();

  constructor(options: KernelSteeringOptions) {
    this.#options = options;
    const { tun: name, assignedMtuBytes: mtuBytes } = options;
    this.#assigned = new AssignedAddresses({ name, mtuBytes, otherRoutes: [secureRoute(name)] });
  }

  /**
   * Routes marked packets into the TUN device. The table that an earlier, killed run left stays until `apply` replaces it:
   * what it stops is not let out meanwhile. Throws `IpseckitError` where `nft` or `ip` cannot do its work.
   */
  async start(): Promise<void> {
    await run('nft', ['--check', '-f', '-'], nftRemoval());
    await removeRouting();
    const { tun, tunMtuBytes } = this.#options;
    configureTun(tun);
    const setup = `${routingSetup(tun, tunMtuBytes).join('\n')}\n`;
    await run('ip', ['-4', '-batch', '-'], setup);
    if (carriesIpv6(tun)) await run('ip', ['-6', '-batch', '-'], setup);
  }

  /** Puts filters in force, all at once, with the ports of `steer` that are wanted still; when that fails, those before stay. */
  apply(
    filters: readonly DriverFilter[],
    innerMtuBytes: number,
    translatedPorts: readonly SteeredPort[] = [],
  ): Promise<void> {
    return this.#turns.next(() => this.#replace(filters, innerMtuBytes, translatedPorts));
  }

  /** Leads what this host sends to a translated port to the engine, and drops what comes from there in clear. */
  steer(port: SteeredPort): Promise<void> {
    return this.#turns.next(async () => {
      await run('nft', ['-f', '-'], nftTranslatedPort(port));
      this.#translatedPorts = [...this.#translatedPorts, port];
    });
  }

  /** Puts the filters back in force if somebody has removed or replaced their table; says whether that was so. */
  restore(): Promise<boolean> {
    return this.#turns.next(async () => {
      if (this.#generation === undefined || (await isInForce(this.#generation))) return false;
      await this.#replace(this.#filters, this.#innerMtuBytes, this.#translatedPorts);
      return true;
    });
  }

  async #replace(
    filters: readonly DriverFilter[],
    innerMtuBytes: number,
    translatedPorts: readonly SteeredPort[],
  ): Promise<void> {
    const softElements = [...new Set(Array.from(this.#soft.values(), softElement))];
    const generation = randomBytes(8).toString('hex');
    const options = {
      ...this.#options,
      ...hostAddresses(),
      ...{ generation, innerMtuBytes, softElements, translatedPorts },
    };
    await this.#keepCounters();
    await run('nft', ['-f', '-'], nftRuleset(filters, options));
    this.#earlier = this.#latest;
    this.#filters = filters;
    this.#innerMtuBytes = innerMtuBytes;
    this.#translatedPorts = translatedPorts;
    this.#generation = generation;
    for (const family of ipFamilies()) {
      const routes = fallbackRoutes(filters, options, family).map(route => `route replace ${route}\n`);
      const flush = `route flush table ${steeringNames.fallbackRouteTable}\n`;
      await run('ip', [`-${family}`, '-force', '-batch', '-'], flush + routes.join(''), { mayFail: true });
    }
  }

  /** Lets clear packets between the hosts of a soft SA pass the inbound filters that allow fallback. */
  allowClear(soft: SoftSa): Promise<void> {
    return this.#turns.next(async () => {
      await this.#changeSoftSet('add', soft);
      this.#soft.set(softKey(soft), soft);
    });
  }

  forbidClear(soft: SoftSa): Promise<void> {
    return this.#turns.next(async () => {
      if (this.#soft.delete(softKey(soft))) await this.#changeSoftSet('delete', soft);
    });
  }

  /** Clear packets that passed, by `softElement`, since the soft SA began or filters were last replaced. */
  clearReceived(): Promise<ReadonlyMap<string, number>> {
    return this.#turns.next(async () => {
      if (this.#generation === undefined) return new Map();
      const counters = new Map<string, number>();
      for (const set of Object.values(steeringNames.softSets)) {
        const json = await run('nft', ['-j', 'list', 'set', 'inet', steeringNames.table, set], '');
        for (const [element, packets] of softCountersOf(json)) counters.set(element, packets);
      }
      return counters;
    });
  }

  /** Several soft SAs of the same hosts share an element: the first brings it, the last takes it away. */
  async #changeSoftSet(change: 'add' | 'delete', soft: SoftSa): Promise<void> {
    const element = softElement(soft);
    const shared = [...this.#soft.values()].some(other => softElement(other) === element);
    if (shared || this.#generation === undefined) return;
    const { table } = steeringNames;
    await run('nft', ['-f', '-'], `${change} element inet ${table} ${softSetOf(soft)} { ${element} }\n`);
  }

  /** Gives this host exactly these addresses inside networks of gateways. */
  assign(assigned: readonly AssignedAddress[]): Promise<void> {
    return this.#turns.next(() => this.#assigned.set(assigned));
  }

  /** Counts as of now. */
  counters(): Promise<SteeringCounters> {
    return this.#turns.next(async () => {
      await this.#readCounters();
      return this.#latest;
    });
  }

  /** Counts as of the last reading. */
  get latestCounters(): SteeringCounters {
    return this.#latest;
  }

  /** When they were read, on the clock of `steady-clock.ts`. */
  get countersReadAtMs(): number {
    return this.#readAtMs;
  }

  stop(): Promise<void> {
    return this.#turns.next(async () => {
      await this.#keepCounters();
      this.#generation = undefined;
      await removeSteering();
    });
  }

  /** Reads the counters once more before their rules go; not when somebody has removed the table. */
  async #keepCounters(): Promise<void> {
    await this.#readCounters().catch(() => {});
  }

  async #readCounters(): Promise<void> {
    this.#readAtMs = steadyClock.nowMs();
    if (this.#generation === undefined) return;
    const json = await run('nft', ['-j', 'list', 'table', 'inet', steeringNames.table], '');
    this.#latest = addCounters(this.#earlier, countersOf(json, this.#filters));
  }
}

/** Removes every trace of the driver from the kernel. Throws `IpseckitError` without `nft`, unless it may be missing. */
export async function removeSteering(options: { readonly mayFail?: boolean } = {}): Promise<void> {
  await removeTable(options);
  await removeRouting();
}

/** Removes the filters: what they stopped passes. */
export async function removeTable(options: { readonly mayFail?: boolean } = {}): Promise<void> {
  await run('nft', ['-f', '-'], nftRemoval(), options);
}

/** Removes rules and routes. What a table that is still there marks is dropped then. */
export async function removeRouting(): Promise<void> {
  for (const family of ipFamilies())
    await run('ip', [`-${family}`, '-force', '-batch', '-'], `${routingRemoval(family).join('\n')}\n`, {
      mayFail: true,
    });
}

/** Removes every trace of the driver from the kernel, for exit paths that cannot wait; never throws. */
export function removeSteeringSync(): void {
  runSync('nft', ['-f', '-'], nftRemoval());
  for (const family of ipFamilies())
    runSync('ip', [`-${family}`, '-force', '-batch', '-'], `${routingRemoval(family).join('\n')}\n`);
}

/** Counts per filter from what `nft -j list table` printed about the rules of `filters`. */
export function countersOf(json: string, filters: readonly DriverFilter[]): SteeringCounters {
  const indexes = new Map(filters.map((_, index) => [filterComment(index), index]));
  const counts = new Map<FilterId, number>();
  const dropped = new Map<FilterId, number>();
  let blocked = 0;
  let clearButSecured = 0;
  for (const { comment, packets, drops } of countedRules(JSON.parse(json))) {
    if (comment === translatedComment) clearButSecured += packets;
    const filter = filters[indexes.get(comment) ?? -1];
    if (filter === undefined) continue;
    counts.set(filter.id, (counts.get(filter.id) ?? 0) + packets);
    if (!drops || packets === 0) continue;
    dropped.set(filter.id, (dropped.get(filter.id) ?? 0) + packets);
    if (filter.direction === 'inbound' && filter.action === 'secure') clearButSecured += packets;
    else blocked += packets;
  }
  return { filters: counts, drops: dropped, blocked, clearButSecured };
}

/** Packets counted by each element of the soft set, from what `nft -j list set` printed. */
export function softCountersOf(json: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of arrayIn(JSON.parse(json), 'nftables'))
    for (const element of arrayIn(memberOf(item, 'set'), 'elem')) {
      const detail = memberOf(element, 'elem');
      const [peer, local] = arrayIn(memberOf(detail, 'val'), 'concat');
      const packets = memberOf(memberOf(detail, 'counter'), 'packets');
      if (typeof packets === 'number') counts.set(`${peer} . ${local}`, packets);
    }
  return counts;
}

function* countedRules(listing: unknown): Generator<{ comment: string; packets: number; drops: boolean }> {
  for (const item of arrayIn(listing, 'nftables')) {
    const rule = memberOf(item, 'rule');
    const comment = memberOf(rule, 'comment');
    const statements = arrayIn(rule, 'expr');
    const counter = statements
      .map(statement => memberOf(statement, 'counter'))
      .find(value => value !== undefined);
    const packets = memberOf(counter, 'packets');
    if (typeof comment !== 'string' || typeof packets !== 'number') continue;
    yield { comment, packets, drops: statements.some(statement => hasMember(statement, 'drop')) };
  }
}

function hasMember(value: unknown, name: string): value is object {
  return typeof value === 'object' && value !== null && name in value;
}

function memberOf(value: unknown, name: string): unknown {
  return hasMember(value, name) ? new Map<string, unknown>(Object.entries(value)).get(name) : undefined;
}

function arrayIn(value: unknown, name: string): readonly unknown[] {
  const member = memberOf(value, name);
  return Array.isArray(member) ? member : [];
}

function softKey(soft: SoftSa): string {
  return `${soft.filterId} ${softElement(soft)}`;
}

function addCounters(a: SteeringCounters, b: SteeringCounters): SteeringCounters {
  return {
    filters: addCounts(a.filters, b.filters),
    drops: addCounts(a.drops, b.drops),
    blocked: a.blocked + b.blocked,
    clearButSecured: a.clearButSecured + b.clearButSecured,
  };
}

function addCounts(a: SteeringCounters['filters'], b: SteeringCounters['filters']): Map<FilterId, number> {
  const sums = new Map(a);
  for (const [id, packets] of b) sums.set(id, (sums.get(id) ?? 0) + packets);
  return sums;
}

function ipFamilies(): readonly (4 | 6)[] {
  return hasIpv6() ? [4, 6] : [4];
}

/** Not where IPv6 is off and we may not switch it on: then no packet of it leaves either, for want of a route. */
function carriesIpv6(tun: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${tun}/disable_ipv6`, 'utf8').trim() === '0';
  } catch {
    return false;
  }
}

/** Addresses of this host, and the IPv4 broadcast addresses of its subnets. */
function hostAddresses(): { localAddresses: IpAddress[]; broadcastAddresses: IpAddress[] } {
  const local = new Set<IpAddress>();
  const broadcast = new Set<IpAddress>();
  for (const { family, address: text, cidr } of Object.values(networkInterfaces()).flatMap(
    list => list ?? [],
  )) {
    const address = parseIpAddress(text);
    const prefixLength = Number(cidr?.split('/')[1] ?? 32);
    if (address === undefined) continue;
    local.add(address);
    if (family === 'IPv4' && prefixLength < 31 && !text.startsWith('127.'))
      broadcast.add(subnetRange(address, prefixLength).last);
  }
  return { localAddresses: [...local].sort(), broadcastAddresses: [...broadcast].sort() };
}

async function isInForce(generation: string): Promise<boolean> {
  const chain = generationChain(generation);
  const listed = await run('nft', ['list', 'chain', 'inet', steeringNames.table, chain], '', {
    mayFail: true,
  });
  return listed.includes(chain);
}
