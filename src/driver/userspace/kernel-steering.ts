/** Applies `steering.ts` to the kernel of this network namespace, with the programs `nft` and `ip`. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { AssignedAddress, DriverFilter, SoftSa } from '../api.js';
import { AssignedAddresses } from '../assigned-addresses.js';
import { hostAddresses } from '../host-addresses.js';
import { attempt, ipBatch, run } from '../host-programs.js';
import { steeringNames } from '../kernel-names.js';
import { steadyClock } from '../steady-clock.js';
import { Turns } from '../turns.js';
import type { SteeredPort } from './client-ports.js';
import { hasIpv6 } from './sockets.js';
import {
  generationChain,
  nftRemoval,
  nftRuleset,
  nftTranslatedPort,
  type SteeringOptions,
  softElement,
  softSetOf,
} from './steering.js';
import {
  addCounters,
  countersOf,
  noCounters,
  type SteeringCounters,
  softCountersOf,
} from './steering-counters.js';
import {
  fallbackRoutes,
  routingAdditions,
  routingRemoval,
  routingSetup,
  secureRoute,
} from './steering-routes.js';
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

/** The nftables table and the policy routing in force. */
export class KernelSteering {
  readonly #options: KernelSteeringOptions;
  #filters: readonly DriverFilter[] = [];
  #innerMtuBytes = 0;
  #translatedPorts: readonly SteeredPort[] = [];
  /** Soft SAs, by filter and hosts. */
  readonly #soft = new Map<string, SoftSa>();
  /** The table as it was after our last change to it; none yet when absent. */
  #inForce: { readonly generation: string; listing: string } | undefined;
  /** Routes towards tunnelled networks, and whether there is any policy routing yet. */
  #fallbackRoutes: Readonly<Record<4 | 6, readonly string[]>> = { 4: [], 6: [] };
  #routed = false;
  readonly #assigned: AssignedAddresses;
  /** Counted under rule sets that have been replaced. */
  #earlier: SteeringCounters = noCounters;
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
    for (const family of routedFamilies(tun)) await run('ip', [`-${family}`, '-batch', '-'], setup);
    this.#routed = true;
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
      await this.#change(nftTranslatedPort(port));
      this.#translatedPorts = [...this.#translatedPorts, port];
    });
  }

  /** Puts the filters back in force if somebody has removed or changed their table; says whether that was so. */
  restoreTable(): Promise<boolean> {
    return this.#turns.next(async () => {
      if (this.#inForce === undefined) return false;
      const { generation, listing } = this.#inForce;
      if (listing.includes(generationChain(generation)) && listing === (await listTable())) return false;
      await this.#replace(this.#filters, this.#innerMtuBytes, this.#translatedPorts);
      return true;
    });
  }

  /** Adds what is missing of the policy routing; says whether something was. */
  restoreRouting(): Promise<boolean> {
    return this.#turns.next(async () => {
      if (!this.#routed) return false;
      let restored = 0;
      for (const family of routedFamilies(this.#options.tun))
        restored += await ipBatch(family, [
          ...routingAdditions(this.#options.tun),
          ...this.#fallbackRoutes[family].map(route => `route add ${route}`),
          ...this.#assigned.additions(family),
        ]);
      return restored > 0;
    });
  }

  /** One change to the table that is in force. */
  async #change(text: string): Promise<void> {
    await run('nft', ['-f', '-'], text);
    if (this.#inForce !== undefined) this.#inForce.listing = await listTable();
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
    this.#inForce = { generation, listing: await listTable() };
    this.#fallbackRoutes = { 4: fallbackRoutes(filters, options, 4), 6: fallbackRoutes(filters, options, 6) };
    for (const family of ipFamilies())
      await ipBatch(family, [
        `route flush table ${steeringNames.fallbackRouteTable}`,
        ...this.#fallbackRoutes[family].map(route => `route replace ${route}`),
      ]);
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
      if (this.#inForce === undefined) return new Map();
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
    if (shared || this.#inForce === undefined) return;
    const { table } = steeringNames;
    await this.#change(`${change} element inet ${table} ${softSetOf(soft)} { ${element} }\n`);
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
      this.#inForce = undefined;
      this.#routed = false;
      await removeSteering();
    });
  }

  /** Reads the counters once more before their rules go; not when somebody has removed the table. */
  async #keepCounters(): Promise<void> {
    await this.#readCounters().catch(() => {});
  }

  async #readCounters(): Promise<void> {
    this.#readAtMs = steadyClock.nowMs();
    if (this.#inForce === undefined) return;
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
export async function removeTable({ mayFail = false }: { readonly mayFail?: boolean } = {}): Promise<void> {
  await (mayFail ? attempt : run)('nft', ['-f', '-'], nftRemoval());
}

/** Removes rules and routes. What a table that is still there marks is dropped then. */
export async function removeRouting(): Promise<void> {
  for (const family of ipFamilies()) await ipBatch(family, routingRemoval(family));
}

function softKey(soft: SoftSa): string {
  return `${soft.filterId} ${softElement(soft)}`;
}

function ipFamilies(): readonly (4 | 6)[] {
  return hasIpv6() ? [4, 6] : [4];
}

function routedFamilies(tun: string): readonly (4 | 6)[] {
  return carriesIpv6(tun) ? [4, 6] : [4];
}

/** Not where IPv6 is off and we may not switch it on: then no packet of it leaves either, for want of a route. */
function carriesIpv6(tun: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${tun}/disable_ipv6`, 'utf8').trim() === '0';
  } catch {
    return false;
  }
}

/** The table without what it has counted; empty when there is none. */
async function listTable(): Promise<string> {
  return attempt('nft', ['--stateless', 'list', 'table', 'inet', steeringNames.table], '');
}
