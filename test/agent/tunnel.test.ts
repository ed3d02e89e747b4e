import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { configuredTunnel, describeConfiguration } from '../../src/agent/gateway-client.js';
import { describeTraffic, parseTunnel } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import { IpseckitError } from '../../src/report/errors.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import type { Configuration } from '../../src/wire/isakmp/transaction.js';

const document = {
  format: 'ipseckit-tunnel',
  version: 1,
  name: 'office',
  local: '192.0.2.1',
  peer: '198.51.100.7',
  presharedKey: 'a very secret key',
};

const refused = (change: Record<string, unknown>) => {
  try {
    parseTunnel({ ...document, ...change });
  } catch (error) {
    assert.ok(error instanceof IpseckitError, String(error));
    return `${error.code} ${error.message}`;
  }
  return assert.fail('was accepted');
};

describe('parseTunnel', () => {
  test('host to host is transport mode for everything, with the default proposals', () => {
    const tunnel = parseTunnel(document);
    assert.deepEqual(tunnel.traffic, { mode: 'transport', protocol: 0, localPort: 0, remotePort: 0 });
    assert.deepEqual(tunnel.ike[0], { encryption: 'aes256', hash: 'sha256', group: 14 });
    assert.deepEqual(tunnel.methods[0], { esp: { encryption: 'aes256', hash: 'sha256' } });
  });

  test('a remote network alone is tunnel mode from this host', () => {
    const tunnel = parseTunnel({ ...document, remoteNetworks: ['10.2.0.0/16'] });
    assert.equal(describeTraffic(tunnel), '192.0.2.1/32 <-> 10.2.0.0/16');
  });

  test('says which field is wrong', () => {
    assert.match(refused({ peer: 'gateway' }), /^USAGE peer: "gateway" is not an IP address/);
    assert.match(refused({ peer: '2001:db8::1' }), /^CONFLICT local: .* different address families/);
    assert.match(refused({ peer: 'fe80::1' }), /^UNSUPPORTED peer: fe80::1 is valid on one link only/);
    assert.match(refused({ peer: 'fe80::1%eth0' }), /^USAGE peer: "fe80::1%eth0" names an adapter/);
    assert.match(refused({ peer: '::ffff:192.0.2.1' }), /^USAGE peer: ::ffff:c000:201 is an IPv4 address/);
    assert.match(refused({ remoteNetworks: ['2001:db8::/129'] }), /^USAGE remoteNetworks: .*not a network/);
    assert.match(
      refused({ localNetworks: ['10.1.0.0/16'], remoteNetworks: ['2001:db8::/32'] }),
      /^CONFLICT localNetworks: nothing on the other side is of the address family of 10\.1\.0\.0\/16/,
    );
    assert.match(refused({ remoteNetworks: ['10.2.0.0/33'] }), /^USAGE remoteNetworks: "10.2.0.0\/33"/);
    assert.match(refused({ remoteNetworks: '10.2.0.0/16' }), /^USAGE remoteNetworks: must be a list/);
    assert.match(refused({ presharedKey: '' }), /^USAGE presharedKey/);
    assert.match(refused({ esp: '3des-sha3' }), /^USAGE proposal "3des-sha3": "sha3" is not/);
    assert.match(refused({ ike: '3des-sha1' }), /^USAGE proposal "3des-sha1": IKE needs a group/);
    assert.match(refused({ esp: 'aes128gcm16-sha1' }), /brings its own integrity/);
    assert.match(refused({ esp: '' }), /^USAGE esp: needs at least one/);
    assert.match(refused({ localPort: 80 }), /^CONFLICT ports need/);
    assert.match(refused({ protocol: 6, remoteNetworks: ['10.0.0.0/8'] }), /^CONFLICT networks/);
    assert.match(refused({ lifetimeSeconds: 5 }), /^USAGE lifetimeSeconds/);
    assert.match(refused({ version: 2 }), /^USAGE format/);
    assert.throws(() => parseTunnel('office'), IpseckitError);
    assert.throws(() => parseTunnel(null), IpseckitError);
  });

  test('a gateway that gives addresses: what it wants, and what it names', () => {
    const asked = { ...document, xauthUser: 'ann', xauthPassword: 'hidden word', modeConfig: 'pull' };
    const tunnel = parseTunnel(asked);
    assert.doesNotMatch(JSON.stringify(tunnel) + inspect(tunnelSource(tunnel), { depth: 12 }), /hidden word/);
    const configuration = {
      address: ipAddress('10.3.0.7'),
      dnsServers: [],
      winsServers: [],
      networks: [{ address: ipAddress('10.2.0.0'), prefixLength: 16 }],
    };
    const configured = configuredTunnel(tunnel, configuration);
    assert.equal(describeTraffic(configured), '10.3.0.7/32 <-> 10.2.0.0/16');
    const source = tunnelSource(configured);
    assert.deepEqual(source.assigned, [
      { address: '10.3.0.7', networks: configuration.networks, excluded: [] },
    ]);
    assert.deepEqual(source.ike?.modeConfig?.inUse, ['10.3.0.7']);
    const named = configuredTunnel(parseTunnel({ ...asked, remoteNetworks: ['10.9.0.0/16'] }), configuration);
    assert.equal(describeTraffic(named), '10.3.0.7/32 <-> 10.9.0.0/16');
    const all = configuredTunnel(tunnel, { ...configuration, networks: [] });
    assert.equal(describeTraffic(all), '10.3.0.7/32 <-> 0.0.0.0/0');
    const { address: _, ...withoutAddress } = configuration;
    assert.throws(() => configuredTunnel(tunnel, withoutAddress), /no address/);
  });

  test('a gateway that gives an address of each family: each reaches the networks of its own', () => {
    const asked = { ...document, modeConfig: 'pull' };
    const given = {
      ...{ address: ipAddress('10.3.0.7'), address6: ipAddress('fd03::7') },
      ...{ dnsServers: [], winsServers: [], networks: [] },
    };
    const net6 = { address: ipAddress('fd02::'), prefixLength: 64 };
    const wanted = (...remoteNetworks: string[]) =>
      parseTunnel({ ...asked, ...(remoteNetworks.length === 0 ? {} : { remoteNetworks }) });
    const families = (spec: ReturnType<typeof wanted>, host: readonly (4 | 6)[] = [4, 6]) =>
      tunnelSource(spec, host).ike?.modeConfig?.families;
    assert.deepEqual(families(wanted()), [4, 6]);
    assert.deepEqual(families(wanted(), [4]), [4]);
    assert.deepEqual(families(wanted('fd02::/64'), [4]), [6]);
    assert.deepEqual(families(wanted('fd02::/64', '10.2.0.0/16')), [4, 6]);
    const traffic = (spec: ReturnType<typeof wanted>, configuration: Configuration) =>
      describeTraffic(configuredTunnel(spec, configuration));
    assert.equal(traffic(wanted(), given), '10.3.0.7/32 fd03::7/128 <-> 0.0.0.0/0 ::/0');
    assert.equal(traffic(wanted('fd02::/64'), given), 'fd03::7/128 <-> fd02::/64');
    // What the gateway names, and nothing else; an address that leads nowhere is not used.
    assert.equal(traffic(wanted(), { ...given, networks: [net6] }), 'fd03::7/128 <-> fd02::/64');
    assert.deepEqual(
      tunnelSource(configuredTunnel(wanted(), { ...given, networks: [net6] })).ike?.modeConfig?.inUse,
      ['fd03::7'],
    );
    const { address6: _, ...ipv4 } = given;
    assert.equal(traffic(wanted(), ipv4), '10.3.0.7/32 <-> 0.0.0.0/0');
    assert.throws(
      () => traffic(wanted('10.2.0.0/16', 'fd02::/64'), ipv4),
      /assigned no IPv6 address for fd02::\/64/,
    );
    assert.throws(() => traffic(wanted(), { ...ipv4, networks: [net6] }), /assigned no IPv6 address/);
    assert.equal(describeConfiguration(given), 'address 10.3.0.7 and fd03::7');
    const excluding = parseTunnel({
      ...{
        ...asked,
        remoteNetworks: ['0.0.0.0/0', '::/0'],
        excludedNetworks: ['fd01::/64', '192.168.1.0/24'],
      },
    });
    assert.deepEqual(
      tunnelSource(configuredTunnel(excluding, given)).assigned?.map(({ networks, excluded }) =>
        [...networks, ...excluded].map(({ address }) => address),
      ),
      [
        ['0.0.0.0', '192.168.1.0'],
        ['::', 'fd01::'],
      ],
    );
  });

  test('while the gateway has assigned no address, all traffic goes on but IKE, which no filter sees', () => {
    const tunnel = parseTunnel({ ...document, modeConfig: 'pull', remoteNetworks: ['0.0.0.0/0'] });
    const filters = tunnelSource(tunnel).policy.rules.flatMap(rule => rule.filterList?.filters ?? []);
    assert.deepEqual(
      filters.map(({ protocol, sourcePort, destinationPort }) => [protocol, sourcePort, destinationPort]),
      [
        [17, 500, 500],
        [17, 500, 500],
      ],
    );
  });

  test('what is excluded from a remote network is reached directly', () => {
    const all = { ...document, remoteNetworks: ['0.0.0.0/0'] };
    const tunnel = parseTunnel({ ...all, excludedNetworks: ['192.168.1.0/24'] });
    assert.equal(describeTraffic(tunnel), '192.0.2.1/32 <-> 0.0.0.0/0 without 192.168.1.0/24');
    const { rules } = tunnelSource(tunnel).policy;
    assert.deepEqual(
      rules.map(rule => rule.action.kind),
      ['negotiate', 'negotiate', 'permit'],
    );
    const excluded = (...excludedNetworks: string[]) => ({ excludedNetworks });
    assert.match(refused({ ...all, ...excluded('0.0.0.0/0') }), /^CONFLICT excludedNetworks/);
    assert.match(refused({ ...all, ...excluded('2001:db8::/32') }), /^CONFLICT excludedNetworks/);
    assert.match(refused(excluded('192.168.1.0/24')), /^CONFLICT excludedNetworks/);
  });

  test('what a gateway client cannot mean', () => {
    assert.match(refused({ modeConfig: 'ask' }), /^USAGE modeConfig/);
    assert.match(refused({ xauthPassword: 'x' }), /^USAGE xauthUser: is missing/);
    assert.match(refused({ xauthUser: '' }), /^USAGE xauthUser/);
    assert.match(
      refused({ modeConfig: 'pull', localNetworks: ['10.1.0.0/24'] }),
      /^CONFLICT the gateway assigns/,
    );
  });

  test('the key is nowhere in what can be printed', () => {
    const source = tunnelSource(parseTunnel(document));
    assert.doesNotMatch(JSON.stringify(source) + inspect(source, { depth: 12 }), /very secret/);
  });
});

describe('tunnelSource', () => {
  test('tunnel mode is two one-way rules, each with the end its packets travel to', () => {
    const { policy } = tunnelSource(
      parseTunnel({
        ...document,
        localNetworks: ['10.1.0.0/16', '10.3.0.0/16'],
        remoteNetworks: ['10.2.0.0/16'],
      }),
    );
    assert.deepEqual(
      policy.rules.map(rule => [
        rule.tunnelEndpoint,
        rule.filterList?.filters.length,
        rule.filterList?.filters[0]?.mirrored,
      ]),
      [
        [{ kind: 'host', address: '198.51.100.7' }, 2, false],
        [{ kind: 'host', address: '192.0.2.1' }, 2, false],
      ],
    );
  });

  test('transport mode is one mirrored rule', () => {
    const { policy } = tunnelSource(parseTunnel({ ...document, protocol: 6, remotePort: 80 }));
    const [rule] = policy.rules;
    assert.equal(policy.rules.length, 1);
    assert.equal(rule?.tunnelEndpoint, undefined);
    assert.equal(rule?.filterList?.filters[0]?.mirrored, true);
    assert.equal(rule?.filterList?.filters[0]?.destinationPort, 80);
  });
});
