/** Tests that ask the network: loopback, gateways, name servers. */
import { type IpAddress, ipAddress } from '../../../wire/ip/address.js';
import type { HostFacts } from '../host-facts.js';
import type { PingResult, Probes } from '../probes.js';
import { parseNeighbours } from '../proc-files.js';
import {
  type AdapterOutcome,
  failed,
  fatal,
  line,
  passed,
  skipped,
  type TestOutcome,
  warning,
} from '../report.js';

export async function loopbackTest(probes: Probes): Promise<TestOutcome> {
  const result = await probes.ping(ipAddress('127.0.0.1'));
  switch (result.kind) {
    case 'answered':
      return passed(line('PASS - pinging IP loopback address was successful.', 'verbose'));
    case 'silent':
      return failed(fatal('Pinging the IP loopback address failed. IP stack is not configured properly.'));
    case 'impossible':
      return skipped(`No echo request can be sent: ${result.reason}`);
  }
}

/** Asks each gateway until one answers; one that only answers ARP counts too. */
export async function defaultGatewayTest({ adapters }: HostFacts, probes: Probes): Promise<TestOutcome> {
  const outcomes = adapters
    .filter(({ connected }) => connected !== false)
    .map(
      ({ name, gateways }): AdapterOutcome =>
        gateways.length === 0
          ? { adapter: name, status: 'Skipped', details: [warning('No gateways defined for this adapter.')] }
          : { adapter: name, status: 'Passed', details: [] },
    );
  const gateways = [...new Set(adapters.flatMap(adapter => adapter.gateways))];
  if (gateways.length === 0) return { ...skipped('No gateways are defined.'), adapters: outcomes };
  const results: (readonly [IpAddress, PingResult])[] = [];
  for (const gateway of gateways) {
    const result = await probes.ping(gateway);
    if (result.kind === 'answered')
      return {
        ...passed(
          line(`PASS - gateway ${gateway} answered in ${result.milliseconds.toFixed(1)} ms`, 'verbose'),
        ),
        adapters: outcomes,
      };
    results.push([gateway, result]);
  }
  const neighbours = parseNeighbours(probes.readText('/proc/net/arp') ?? '');
  const neighbour = gateways.find(gateway => neighbours.has(gateway));
  if (neighbour !== undefined)
    return { ...passed(warning(`Gateway ${neighbour} answers ARP but no ping.`)), adapters: outcomes };
  const impossible = results.map(([, result]) => result).find(result => result.kind === 'impossible');
  if (impossible?.kind === 'impossible')
    return { ...skipped(`No echo request can be sent: ${impossible.reason}`), adapters: outcomes };
  return {
    ...failed(
      fatal('NO GATEWAYS ARE REACHABLE.'),
      line('You have no connectivity to other network segments.'),
      ...results.map(([gateway]) => line(`${gateway} did not answer`, 'verbose')),
    ),
    adapters: outcomes.map(outcome =>
      outcome.status === 'Passed' ? { ...outcome, status: 'Failed' } : outcome,
    ),
  };
}

/** Does each name server answer, and does it know this host? */
export async function dnsTest(
  { hostName, dnsServers, adapters }: HostFacts,
  probes: Probes,
): Promise<TestOutcome> {
  if (dnsServers.length === 0) return skipped('No DNS servers are configured.');
  const own = new Set(adapters.flatMap(({ addresses }) => addresses.map(({ address }) => address)));
  let answers = 0;
  const details = [];
  for (const server of dnsServers) {
    const result = await probes.askNameServer(server, hostName);
    if (result.kind === 'silent') {
      details.push(warning(`Cannot reach the DNS server ${server} (${result.reason}).`));
      continue;
    }
    answers++;
    if (result.kind === 'notFound')
      details.push(line(`The DNS server ${server} has no entry for ${hostName}.`, 'verbose'));
    else if (result.addresses.some(address => own.has(address)))
      details.push(line(`PASS - ${hostName} is registered on the DNS server ${server}.`, 'verbose'));
    else
      details.push(
        warning(
          `The DNS server ${server} has other addresses for ${hostName}: ${result.addresses.join(' ')}.`,
        ),
      );
  }
  return answers > 0 ? passed(...details) : failed(fatal('No DNS servers can be reached.'), ...details);
}
