/** Tests of the adapters and their addresses. */
import { addressFamily } from '../../../wire/ip/address.js';
import { prefixToMask } from '../../../wire/ip/selector.js';
import type { AdapterFacts, HostFacts, TrafficCounters } from '../host-facts.js';
import {
  type AdapterOutcome,
  type Field,
  failed,
  fatal,
  line,
  passed,
  type TestOutcome,
  warning,
} from '../report.js';

/** Link state and counters. Without any adapter that works there is nothing else to test. */
export function ndisTest({ adapters }: HostFacts): TestOutcome {
  const outcomes = adapters.map(
    (adapter): AdapterOutcome => ({
      adapter: adapter.name,
      status: adapter.connected === false ? 'Failed' : 'Passed',
      details:
        adapter.connected === false
          ? [line('NetCard Status: DISCONNECTED'), line('Some tests will be skipped on this interface.')]
          : [],
      verboseFields: linkFields(adapter),
    }),
  );
  const details = adapters
    .filter(({ received, connected }) => connected !== false && received.packets === 0)
    .map(({ name }) =>
      warning(`The net card '${name}' may not be working because it has not received any packets.`),
    );
  if (outcomes.some(({ status }) => status === 'Passed'))
    return { ...passed(...details), adapters: outcomes };
  return {
    ...failed(fatal('No network adapter is connected. All other tests are left out.')),
    adapters: outcomes,
  };
}

function linkFields({ kind, speedMbps, mtu, macAddress, received, sent }: AdapterFacts): Field[] {
  const traffic = ({ packets, errors, dropped }: TrafficCounters) =>
    `${packets} packets, ${errors} errors, ${dropped} dropped`;
  return [
    ['Adapter type', kind],
    ...(macAddress === undefined ? [] : [['Physical Address', macAddress] as const]),
    ...(mtu === undefined ? [] : [['MTU', String(mtu)] as const]),
    ...(speedMbps === undefined ? [] : [['Speed', `${speedMbps} Mbit/s`] as const]),
    ['Received', traffic(received)],
    ['Sent', traffic(sent)],
  ];
}

/** Addresses, masks, gateways and resolvers of each adapter. */
export function ipConfigTest({ adapters, hostName, dnsServers }: HostFacts): TestOutcome {
  const outcomes = adapters.map((adapter): AdapterOutcome => {
    const addresses = adapter.addresses.map(({ address, prefixLength }): Field[] => [
      ['IP Address', address],
      ['Subnet Mask', addressFamily(address) === 4 ? prefixToMask(prefixLength) : `/${prefixLength}`],
    ]);
    return {
      adapter: adapter.name,
      status: 'Passed',
      details: adapter.addresses.length === 0 ? [line('No IP address on this adapter.')] : [],
      fields: [
        ['Host Name', hostName],
        ...addresses.flat(),
        ['Default Gateway', adapter.gateways.join(' ')],
        ['Dns Servers', dnsServers.join(' ')],
      ],
    };
  });
  return { ...passed(), adapters: outcomes };
}

/** Is an address in use that the host gave itself because no DHCP server answered? */
export function autonetTest({ adapters }: HostFacts): TestOutcome {
  const outcomes = adapters
    .filter(({ addresses }) => addresses.length > 0)
    .map(({ name, addresses }): AdapterOutcome => {
      const automatic = addresses.filter(({ address }) => address.startsWith('169.254.'));
      return {
        adapter: name,
        status: automatic.length === 0 ? 'Passed' : 'Failed',
        details: automatic.map(({ address }) => line(`Autoconfiguration IP Address : ${address}`)),
      };
    });
  if (outcomes.length > 0 && outcomes.every(({ status }) => status === 'Failed'))
    return {
      ...failed(fatal('All addresses are autoconfigured: no DHCP server was found.')),
      adapters: outcomes,
    };
  return {
    ...passed(line('PASS - you have at least one non-autoconfigured IP address', 'verbose')),
    adapters: outcomes,
  };
}

/** Adapters that stand on others. */
export function bindingsTest({ adapters }: HostFacts): TestOutcome {
  return passed(
    ...adapters
      .filter(({ lower }) => lower.length > 0)
      .map(({ name, lower }) => line(`${name} is bound to ${lower.join(', ')}`, 'verbose')),
  );
}

/** Connections that would be remote access lines on Windows. */
export function wanTest({ adapters }: HostFacts): TestOutcome {
  const lines = adapters.filter(({ kind }) => kind === 'ppp' || kind === 'wireguard');
  if (lines.length === 0)
    return { status: 'Skipped', details: [line('No active remote access connections.')] };
  return passed(
    ...lines.map(({ name, kind, addresses }) =>
      line(
        `${name}: ${kind === 'ppp' ? 'PPP' : 'WireGuard'} ${addresses.map(({ address }) => address).join(' ')}`,
        'verbose',
      ),
    ),
  );
}
