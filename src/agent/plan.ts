/** What a change of the policies in force comes to, for people who want to know before. Pure. */
import type { MainModeInfo, QuickModeInfo } from '../ike/info.js';
import { printSecurityMethod } from '../policy/proposals.js';
import type { IpAddress } from '../wire/ip/address.js';
import { printSelector } from '../wire/ip/selector.js';
import { type ActiveFilter, mainModeMeaning } from './active-policy.js';

/** What applying a policy would change. Lists are cut to `mostListed`; the counts are whole. */
export interface PolicyPlan {
  readonly filters: {
    readonly added: number;
    readonly removed: number;
    readonly changed: number;
    readonly unchanged: number;
  };
  readonly changes: readonly FilterChange[];
  /** The directory's policy, in force before any local one: then nothing changes. */
  readonly overriddenBy?: string;
  /** SAs that would be deleted at the peers. */
  readonly mainModes: readonly { readonly local: IpAddress; readonly peer: IpAddress }[];
  readonly quickModes: readonly {
    readonly local: IpAddress;
    readonly peer: IpAddress;
    readonly mode: 'transport' | 'tunnel';
    readonly traffic: string;
  }[];
}

/** One specific filter: new without `before`, gone without `after`. */
export interface FilterChange {
  readonly direction: 'inbound' | 'outbound';
  /** `192.0.2.1 -> any proto 6 ports 0/80`. */
  readonly traffic: string;
  readonly before?: PlannedFilter;
  readonly after?: PlannedFilter;
  /** What differs, where there are both. */
  readonly differs: readonly string[];
}

export interface PlannedFilter {
  readonly policy: string;
  readonly rule?: string;
  /** `permit`, `block`, or the security methods. */
  readonly action: string;
}

/** Changes that a plan lists. */
export const mostListed = 1_000;

/** Whether nothing would change. */
export function isEmptyPlan({ filters, mainModes, quickModes }: PolicyPlan): boolean {
  return (
    filters.added + filters.removed + filters.changed === 0 &&
    mainModes.length === 0 &&
    quickModes.length === 0
  );
}

/** The plan of going from some filters to others, with the SAs that end. Filters are matched by their traffic. */
export function planOf(
  before: readonly ActiveFilter[],
  after: readonly ActiveFilter[],
  ending: { readonly mainModes: readonly MainModeInfo[]; readonly quickModes: readonly QuickModeInfo[] },
): PolicyPlan {
  const old = new Map<string, ActiveFilter[]>();
  for (const active of before) old.set(trafficOf(active), [...(old.get(trafficOf(active)) ?? []), active]);
  const counts = { added: 0, removed: 0, changed: 0, unchanged: 0 };
  const changes: FilterChange[] = [];
  const note = (kind: 'added' | 'removed' | 'changed', change: () => FilterChange) => {
    counts[kind]++;
    if (changes.length < mostListed) changes.push(change());
  };
  for (const now of after) {
    const candidates = old.get(trafficOf(now)) ?? [];
    const was = candidates.find(same => differences(same, now).length === 0) ?? candidates[0];
    if (was !== undefined) candidates.splice(candidates.indexOf(was), 1);
    const differs = was === undefined ? [] : differences(was, now);
    if (was === undefined) note('added', () => ({ ...place(now), after: planned(now), differs }));
    else if (differs.length === 0) counts.unchanged++;
    else note('changed', () => ({ ...place(now), before: planned(was), after: planned(now), differs }));
  }
  for (const was of [...old.values()].flat())
    note('removed', () => ({ ...place(was), before: planned(was), differs: [] }));
  return {
    filters: counts,
    changes,
    mainModes: ending.mainModes.map(({ local, peer }) => ({ local, peer })),
    quickModes: ending.quickModes.map(({ pair }) => ({
      local: pair.local,
      peer: pair.peer,
      mode: pair.mode,
      traffic: printSelector(pair.selector),
    })),
  };
}

function trafficOf({ filter }: ActiveFilter): string {
  const { source, destination, protocol, sourcePort, destinationPort } = filter.selector;
  return `${filter.direction} ${source.first}-${source.last} ${destination.first}-${destination.last} ${protocol} ${sourcePort} ${destinationPort}`;
}

function place({ filter }: ActiveFilter): Pick<FilterChange, 'direction' | 'traffic'> {
  return { direction: filter.direction, traffic: printSelector(filter.selector) };
}

function planned({ rule, source, filter }: ActiveFilter): PlannedFilter {
  const { action } = rule;
  return {
    policy: source.policy.name,
    ...(rule.name === undefined ? {} : { rule: rule.name }),
    action:
      action.kind !== 'negotiate'
        ? action.kind
        : `${action.methods.map(printSecurityMethod).join(', ')}${filter.tunnelEndpoint === undefined ? '' : ` in a tunnel to ${filter.tunnelEndpoint}`}`,
  };
}

/** Everything in which two filters on the same traffic differ, in words; nothing exactly when SAs may stay. */
function differences(was: ActiveFilter, now: ActiveFilter): string[] {
  const aspects: readonly (readonly [what: string, of: (active: ActiveFilter) => unknown])[] = [
    ['policy', ({ source }) => source.policy.name],
    ['rule', ({ rule }) => rule.name],
    ['action', ({ rule }) => rule.action.kind],
    ['security methods', ({ rule }) => rule.action.kind === 'negotiate' && rule.action.methods],
    ['clear text inbound', ({ filter }) => filter.acceptUnsecured],
    ['fall back to clear text', ({ filter }) => filter.allowFallback],
    ['tunnel endpoint', ({ filter }) => filter.tunnelEndpoint],
    ['authentication or main mode settings', ({ rule, source }) => mainModeMeaning(source, rule)],
    [
      'id or name',
      ({ filter, rule: { action } }) => [filter.id, filter.name, action.id, action.name, action.description],
    ],
  ];
  return aspects.flatMap(([what, of]) => (JSON.stringify(of(was)) === JSON.stringify(of(now)) ? [] : [what]));
}
