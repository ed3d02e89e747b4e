import type { DropReason } from '../api.js';
import type { InstalledPair } from '../installed-pair.js';
import type { Flow } from '../packet-selector.js';
import type { FilterRules } from './filter-rules.js';
import type { SoftAssociations } from './soft-associations.js';

/** Why a packet must not come in. */
export interface Refusal {
  readonly reason: DropReason;
  readonly note?: string;
}

/**
 * What the inbound filters say of a packet that a pair brought, as it arrived (RFC 4301 5.2, step 4); `undefined`: it may come
 * in. As with the kernel's own policies, the filters before the one that the pair serves decide. What a filter permits may come
 * protected, too, as RFC 4301 has it (the kernel refuses it from a tunnel): the far gateway may know no exception. What another
 * filter lets in clear although it wants it secured, transport mode may bring, but no tunnel.
 */
export function refusalOfOpened(
  rules: FilterRules,
  soft: SoftAssociations,
  pair: InstalledPair,
  flow: Flow,
): Refusal | undefined {
  const rule = rules.inbound(flow, pair.connectionType);
  if (rule === undefined) return undefined;
  const { filter } = rule;
  const served = rules.servedBy(pair);
  if (served !== undefined && rule.place > served) return undefined;
  if (rule.place === served && filter.action === 'secure') return undefined;
  if (filter.action === 'block') {
    rule.drops++;
    return { reason: 'blocked' };
  }
  // No filter has all of its traffic: those that have a part of it are all it can serve.
  const servesParts = served === undefined && filter.action === 'secure';
  if (servesParts && pair.isTunnel === (filter.tunnelEndpoint !== undefined)) return undefined;
  const passesClear = filter.action === 'permit' || filter.acceptUnsecured || soft.opensInbound(filter, flow);
  if (filter.action === 'permit' || (passesClear && !pair.isTunnel)) return undefined;
  rule.drops++;
  return {
    reason: 'selector-mismatch',
    note: `the filter ${filter.name ?? filter.id} covers it, which this SA does not serve`,
  };
}
