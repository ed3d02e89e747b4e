import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  parseDefaultRealm,
  parseDevices,
  parseNeighbours,
  parseOsName,
  parseProcessorVendor,
  parseRoutes,
  parseSnmp,
} from '../../../src/diag/netdiag/proc-files.js';

test('routes', () => {
  const text = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth1	000200C0	00000000	0000	0	0	0	00FFFFFF	0	0	0
garbage
`;
  assert.deepEqual(parseRoutes(text), [
    { device: 'eth0', destination: '0.0.0.0', prefixLength: 0, gateway: '192.0.2.1', metric: 100 },
    { device: 'eth0', destination: '192.0.2.0', prefixLength: 24, metric: 0 },
  ]);
  assert.deepEqual(parseRoutes(''), []);
});

test('devices', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    7847      43    0    0    0     0          0         0     7847      43    0    0    0     0       0          0
  eth0:425963085   14703    1    2    0     0          0         0   798351    9120    3    4    0     0       0          0
`;
  const devices = parseDevices(text);
  assert.deepEqual([...devices.keys()], ['lo', 'eth0']);
  assert.deepEqual(devices.get('eth0'), {
    received: { bytes: 425_963_085, packets: 14_703, errors: 1, dropped: 2 },
    sent: { bytes: 798_351, packets: 9_120, errors: 3, dropped: 4 },
  });
});

test('counters, neighbours and single values', () => {
  const snmp = parseSnmp('Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: MaxConn CurrEstab\nTcp: -1 3\n');
  assert.equal(snmp.get('Ip')?.get('DefaultTTL'), 64);
  assert.equal(snmp.get('Tcp')?.get('MaxConn'), -1);
  const arp = `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.1        0x1         0x2         02:fc:00:00:00:05     *        eth0
192.0.2.9        0x1         0x0         00:00:00:00:00:00     *        eth0
`;
  assert.deepEqual([...parseNeighbours(arp)], ['192.0.2.1']);
  assert.equal(parseDefaultRealm('[libdefaults]\n\tdefault_realm = EXAMPLE.COM\n'), 'EXAMPLE.COM');
  assert.equal(parseDefaultRealm('# default\n'), undefined);
  assert.equal(
    parseOsName('ID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'),
    'Debian GNU/Linux 12 (bookworm)',
  );
  assert.equal(parseProcessorVendor('processor\t: 0\nvendor_id\t: GenuineIntel\n'), 'GenuineIntel');
});
