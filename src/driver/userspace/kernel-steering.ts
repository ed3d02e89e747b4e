/** Applies `steering.ts` to the kernel of this network namespace, with the programs `nft` and `ip`. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { IpseckitError } from '../../report/errors.js';
import { type IpAddress, parseIpAddress } from '../../wire/ip/address.js';
import { subnetRange } from '../../wire/ip/selector.js';
import type { AssignedAddress, DriverFilter, FilterId, SoftSa } from '../api.js';
import { steadyClock } from '../steady-clock.js';
import type { SteeredPort } from './client-ports.js';
import { errnoOf } from './native.js';
import { hasIpv6 } from './sockets.js';
import {
  filterComment,
  nftRemoval,
  nftRuleset,
  nftTranslatedPort,
  type SteeringOptions,
  softElement,
  softSetOf,
  steeringNames,
  translatedComment,
} from './steering.js';
import { assignment, fallbackRoutes, routingRemoval, routingSetup } from './steering-routes.js';

/** What does not change while the driver runs. */
export type KernelSteeringOptions = Omit<
  SteeringOptions,
  'localAddresses' | 'broadcastAddresses' | 'innerMtuBytes' | 'softElements' | 'translatedPorts'
> & { readonly tunMtuBytes: number };

/** Packets that nftables counted, over all rule sets since the start. */
export interface SteeringCounters {
  readonly filters: ReadonlyMap<FilterId, number>;
  /** Of these, dropped ones, by filters that dropped any. */
  readonly drops: ReadonlyMap<FilterId, number>;
  readonly blocked: number;
  readonly clearButSecured: number;
}

/** Settings of the TUN device, in `/proc/sys/net`; where they cannot be written, the default mostly does. */
const deviceSettings = (tun: string) => [
  // Packets we opened come from addresses that are routed elsewhere; with `all.rp_filter` 1 their mark explains it.
  [`ipv4/conf/${tun}/rp_filter`, '0'],
  [`ipv4/conf/${tun}/src_valid_mark`, '1'],
  [`ipv4/conf/${tun}/send_redirects`, '0'],
  [`ipv4/conf/${tun}/accept_redirects`, '0'],
  // No address of its own, and nothing that the kernel says on its own account.
  [`ipv6/conf/${tun}/addr_gen_mode`, '1'],
  [`ipv6/conf/${tun}/accept_ra`, '0'],
  [`ipv6/conf/${tun}/router_solicitations`, '0'],
  [`ipv6/conf/${tun}/disable_ipv6`, '0'],
];

/** The nftables table and the policy routing in force. */
export class KernelSteering {
  readonly #options: KernelSteeringOptions;
  #filters: readonly DriverFilter[] = [];
  #innerMtuBytes = 0;
  #translatedPorts: readonly SteeredPort[] = [];
  /** Soft SAs, by filter and hosts. */
  readonly #soft = new Map<string, SoftSa>();
  #applied = false;
  #assigned: readonly AssignedAddress[] = [];
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
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: KernelSteeringOptions) {
    this.#options = options;
  }

  /** Removes what an earlier, killed run left behind, and routes marked packets into the TUN device. */
  async start(): Promise<void> {
    await this.#removeAll();
    const { tun, tunMtuBytes } = this.#options;
    for (const [name, value] of deviceSettings(tun)) {
      try {
        writeFileSync(`/proc/sys/net/${name}`, `${value}\n`);
      } catch {
        // Read-only in some containers.
      }
    }
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
    return this.#next(() => this.#replace(filters, innerMtuBytes, translatedPorts));
  }

  /** Leads what this host sends to a translated port to the engine, and drops what comes from there in clear. */
  steer(port: SteeredPort): Promise<void> {
    return this.#next(async () => {
      await run('nft', ['-f', '-'], nftTranslatedPort(port));
      this.#translatedPorts = [...this.#translatedPorts, port];
    });
  }

  /** Puts the filters back in force if somebody has removed their table; says whether that was so. */
  restore(): Promise<boolean> {
    return this.#next(async () => {
      if (!this.#applied || (await this.#isInForce())) return false;
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
    const options = {
      ...this.#options,
      ...hostAddresses(),
      ...{ innerMtuBytes, softElements, translatedPorts },
    };
    await this.#keepCounters();
    await run('nft', ['-f', '-'], nftRuleset(filters, options));
    this.#earlier = this.#latest;
    this.#filters = filters;
    this.#innerMtuBytes = innerMtuBytes;
    this.#translatedPorts = translatedPorts;
    this.#applied = true;
    for (const family of ipFamilies()) {
      const routes = fallbackRoutes(filters, options, family).map(route => `route replace ${route}\n`);
      const flush = `route flush table ${steeringNames.fallbackRouteTable}\n`;
      await run('ip', [`-${family}`, '-force', '-batch', '-'], flush + routes.join(''), { mayFail: true });
    }
  }

  async #isInForce(): Promise<boolean> {
    const tables = await run('nft', ['list', 'tables', 'inet'], '');
    return tables.split('\n').includes(`table inet ${steeringNames.table}`);
  }

  /** Lets clear packets between the hosts of a soft SA pass the inbound filters that allow fallback. */
  allowClear(soft: SoftSa): Promise<void> {
    return this.#next(async () => {
      await this.#changeSoftSet('add', soft);
      this.#soft.set(softKey(soft), soft);
    });
  }

  forbidClear(soft: SoftSa): Promise<void> {
    return this.#next(async () => {
      if (this.#soft.delete(softKey(soft))) await this.#changeSoftSet('delete', soft);
    });
  }

  /** Clear packets that passed, by `softElement`, since the soft SA began or filters were last replaced. */
  clearReceived(): Promise<ReadonlyMap<string, number>> {
    return this.#next(async () => {
      if (!this.#applied) return new Map();
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
    if (shared || !this.#applied) return;
    const { table } = steeringNames;
    await run('nft', ['-f', '-'], `${change} element inet ${table} ${softSetOf(soft)} { ${element} }\n`);
  }

  /** Gives this host exactly these addresses inside networks of gateways. */
  assign(assigned: readonly AssignedAddress[], mtuBytes: number): Promise<void> {
    return this.#next(async () => {
      const { add, remove } = assignment(this.#assigned, assigned, this.#options.tun, mtuBytes);
      this.#assigned = assigned;
      if (add.length > 0) await run('ip', ['-4', '-batch', '-'], `${add.join('\n')}\n`);
      if (remove.length > 0)
        await run('ip', ['-4', '-force', '-batch', '-'], `${remove.join('\n')}\n`, { mayFail: true });
    });
  }

  /** Counts as of now. */
  counters(): Promise<SteeringCounters> {
    return this.#next(async () => {
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
    return this.#next(async () => {
      await this.#keepCounters();
      this.#applied = false;
      await this.#removeAll();
    });
  }

  async #removeAll(): Promise<void> {
    await run('nft', ['-f', '-'], nftRemoval());
    for (const family of ipFamilies())
      await run('ip', [`-${family}`, '-force', '-batch', '-'], `${routingRemoval().join('\n')}\n`, {
        mayFail: true,
      });
  }

  /** Reads the counters once more before their rules go; not when somebody has removed the table. */
  async #keepCounters(): Promise<void> {
    await this.#readCounters().catch(() => {});
  }

  async #readCounters(): Promise<void> {
    this.#readAtMs = steadyClock.nowMs();
    if (!this.#applied) return;
    const json = await run('nft', ['-j', 'list', 'table', 'inet', steeringNames.table], '');
    this.#latest = addCounters(this.#earlier, countersOf(json, this.#filters));
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(action, action);
    this.#queue = result.catch(() => {});
    return result;
  }
}

/** Removes every trace of the driver from the kernel, for exit paths that cannot wait; never throws. */
export function removeSteeringSync(): void {
  const options = { stdio: ['pipe', 'ignore', 'ignore'] as ('pipe' | 'ignore')[], env: programEnvironment() };
  spawnSync('nft', ['-f', '-'], { ...options, input: nftRemoval() });
  for (const family of ipFamilies())
    spawnSync('ip', [`-${family}`, '-force', '-batch', '-'], {
      ...options,
      input: `${routingRemoval().join('\n')}\n`,
    });
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

/** `ip` and `nft` live in folders that an ordinary user's PATH lacks. */
function programEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
}

/** Runs a program to its end and returns its output. Throws `IpseckitError` when it fails, unless it may. */
async function run(
  program: 'nft' | 'ip',
  args: readonly string[],
  input: string,
  { mayFail = false }: { mayFail?: boolean } = {},
): Promise<string> {
  const child = spawn(program, args, { env: programEnvironment() });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', text => {
    output.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    output.stderr += text;
  });
  child.stdin.on('error', () => {}); // It ended without reading all; its status says why.
  child.stdin.end(input);
  try {
    await once(child, 'close');
  } catch (error) {
    throw cannotRun(program, error);
  }
  if (child.exitCode === 0 || mayFail) return output.stdout;
  throw failed(program, output.stderr);
}

function cannotRun(program: string, cause: unknown): IpseckitError {
  const missing = errnoOf(cause) === 'ENOENT';
  return new IpseckitError(
    'ENVIRONMENT',
    missing ? `the program ${program} is not installed` : `cannot run ${program}: ${String(cause)}`,
    { next: 'install the packages nftables and iproute2', cause },
  );
}

function failed(program: string, complaint: string): IpseckitError {
  const text = `${program}: ${complaint.trim().split('\n').slice(0, 3).join('; ') || 'failed without saying why'}`;
  if (/operation not permitted|permission denied/i.test(complaint))
    return new IpseckitError('ACCESS_DENIED', text, {
      next: 'run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW',
    });
  if (/message too long/i.test(complaint))
    return new IpseckitError(
      'ENVIRONMENT',
      `${text} (the filters are too many for one nftables transaction)`,
      {
        next: 'run as root of the machine, or raise net.core.wmem_default',
      },
    );
  return new IpseckitError('ENVIRONMENT', text, {
    next:
      program === 'nft'
        ? 'check that the kernel has nf_tables for IPv4 and inet ("modprobe nf_tables", "nft list ruleset")'
        : 'check that the kernel has policy routing ("ip rule")',
  });
}
