/** Tests that show what the network stack holds. */
import type { HostFacts } from '../host-facts.js';
import type { Probes } from '../probes.js';
import { parseSnmp } from '../proc-files.js';
import { type Detail, failed, fatal, line, passed, skipped, type TestOutcome } from '../report.js';

export function winsockTest(probes: Probes): TestOutcome {
  const protocols = (probes.readText('/proc/net/protocols') ?? '')
    .split('\n')
    .slice(1)
    .flatMap(row => row.split(/\s+/, 1).filter(name => name !== ''));
  if (protocols.length === 0) return skipped('/proc/net/protocols cannot be read.');
  const missing = ['TCP', 'UDP'].filter(name => !protocols.includes(name));
  if (missing.length > 0) return failed(fatal(`The kernel has no ${missing.join(' and no ')} sockets.`));
  return passed(line(`Protocols: ${protocols.join(', ')}`, 'verbose'));
}

export function routeTest({ routes }: HostFacts): TestOutcome {
  return passed(
    line('Destination        Gateway            Metric  Interface', 'verbose'),
    ...routes.map(({ destination, prefixLength, gateway, metric, device }) =>
      line(
        `${`${destination}/${prefixLength}`.padEnd(19)}${(gateway ?? 'on link').padEnd(19)}${String(metric).padEnd(8)}${device}`,
        'verbose',
      ),
    ),
  );
}

const shownCounters: Readonly<Record<string, readonly string[]>> = {
  Ip: ['InReceives', 'InDiscards', 'InDelivers', 'OutRequests', 'OutNoRoutes', 'ReasmFails', 'FragFails'],
  Icmp: ['InMsgs', 'InErrors', 'InDestUnreachs', 'OutMsgs'],
  Tcp: ['ActiveOpens', 'PassiveOpens', 'AttemptFails', 'EstabResets', 'CurrEstab', 'RetransSegs'],
  Udp: ['InDatagrams', 'NoPorts', 'InErrors', 'OutDatagrams'],
};

export function netstatTest({ adapters }: HostFacts, probes: Probes): TestOutcome {
  const groups = parseSnmp(probes.readText('/proc/net/snmp') ?? '');
  const details: Detail[] = adapters.map(({ name, received, sent }) =>
    line(`${name}: ${received.bytes} bytes received, ${sent.bytes} bytes sent`, 'verbose'),
  );
  for (const [group, names] of Object.entries(shownCounters)) {
    const counters = names.map(name => `${name} ${groups.get(group)?.get(name) ?? 0}`);
    details.push(line(`${group}: ${counters.join(', ')}`, 'verbose'));
  }
  return passed(...details);
}
