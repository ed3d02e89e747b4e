/**
 * Policies with 100,000 filters: checking, expanding, linting and explaining them; what a look-up costs, with few and
 * with many filters. One processor, no files.
 */
import { Explainer, filtersOfPolicy } from '../src/policy/explain.js';
import { derivedGuid } from '../src/policy/guid.js';
import { lintPolicy } from '../src/policy/lint/lint.js';
import type { Filter, FilterAction, Policy, Rule } from '../src/policy/model.js';
import type { Packet } from '../src/policy/packet.js';
import { validatePolicy } from '../src/policy/validate.js';
import { ipAddress } from '../src/wire/ip/address.js';
import { ipv4FromNumber, ipv4ToNumber } from '../src/wire/ip/packet.js';
import { type Figure, median } from './figure.js';

const manyFilters = 100_000;
const filtersPerRule = 100;
const rounds = 3;

const local = ipAddress('192.0.2.10');
const context = { localAddresses: [{ address: local }] };
const firstPeer = ipv4ToNumber(ipAddress('10.0.0.0'));

/** Milliseconds of each kind of work on a large policy, and nanoseconds of a look-up. */
export function measurePolicy(): Figure[] {
  const policy = largePolicy(manyFilters);
  const { inForce } = filtersOfPolicy(policy, context);
  const explainer = new Explainer(inForce, { localAddresses: [local] });
  const packet = packetTo(manyFilters / 2);
  const milliseconds = (figure: string, work: () => unknown): Figure => ({
    figure,
    unit: 'ms',
    value: median(Array.from({ length: rounds }, () => timeOf(work))),
  });
  return [
    milliseconds('policy-validate-100000-filters', () => validatePolicy(policy)),
    milliseconds('policy-expand-100000-filters', () => filtersOfPolicy(policy, context)),
    milliseconds('policy-lint-100000-filters', () => lintPolicy(policy, context)),
    milliseconds('policy-explain-100000-filters', () => explainer.explain(packet)),
    {
      figure: 'policy-lookup-100000-filters',
      unit: 'ns',
      value: lookUpNs(explainer, manyFilters),
      peer: { name: 'the same with 100 filters', value: lookUpNs(explainerOf(100), 100) },
    },
  ];
}

function explainerOf(filters: number): Explainer {
  return new Explainer(filtersOfPolicy(largePolicy(filters), context).inForce, { localAddresses: [local] });
}

function lookUpNs(explainer: Explainer, filters: number): number {
  const packets = Array.from({ length: 10_000 }, (_, i) => packetTo((i * 7) % filters));
  const perRound = Array.from(
    { length: rounds },
    () =>
      (timeOf(() => {
        for (const packet of packets) explainer.decide(packet);
      }) *
        1e6) /
      packets.length,
  );
  return median(perRound);
}

function timeOf(work: () => unknown): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}

function packetTo(peer: number): Packet {
  return {
    direction: 'outbound',
    source: local,
    destination: ipv4FromNumber(firstPeer + peer),
    protocol: 6,
    sourcePort: 40_000,
    destinationPort: 1_024 + (peer % 5_000),
  };
}

/** Servers by address and port, hosts, and subnets; rules that permit, block and negotiate in turn. */
function largePolicy(filters: number): Policy {
  let count = 0;
  const newGuid = () => derivedGuid('bench', String(++count));
  const actions: readonly FilterAction[] = [
    { id: newGuid(), kind: 'permit' },
    { id: newGuid(), kind: 'block' },
    {
      id: newGuid(),
      kind: 'negotiate',
      methods: [{ esp: { encryption: 'aes128', hash: 'sha256' } }],
      acceptUnsecured: false,
      allowFallback: false,
    },
  ];
  const filterOf = (i: number): Filter => {
    const address = ipv4FromNumber(firstPeer + i);
    const withPort = i % 3 === 0;
    return {
      id: newGuid(),
      source: { kind: 'me' },
      destination: i % 256 === 0 ? { kind: 'subnet', address, prefixLength: 24 } : { kind: 'host', address },
      protocol: withPort ? 6 : 0,
      sourcePort: 0,
      destinationPort: withPort ? 1_024 + (i % 5_000) : 0,
      mirrored: true,
    };
  };
  const rules = Array.from({ length: filters / filtersPerRule }, (_, rule): Rule => {
    const action = actions[rule % actions.length];
    if (action === undefined) throw new RangeError('there are actions');
    return {
      id: newGuid(),
      name: `rule ${rule}`,
      active: true,
      filterList: {
        id: newGuid(),
        filters: Array.from({ length: filtersPerRule }, (__, i) => filterOf(rule * filtersPerRule + i)),
      },
      action,
      authentication: [{ kind: 'certificate', authority: 'CN=Bench' }],
      connectionType: 'all',
    };
  });
  return {
    id: newGuid(),
    name: 'Large',
    pollIntervalMinutes: 180,
    keyExchange: {
      masterKeyPfs: false,
      lifetimeSeconds: 28_800,
      quickModeLimit: 0,
      methods: [{ encryption: 'aes256', hash: 'sha256', group: 14 }],
    },
    rules,
  };
}
