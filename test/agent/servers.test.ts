import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { readServers } from '../../src/agent/servers.js';

describe('servers this computer knows', () => {
  const roots: string[] = [];
  after(() => {
    for (const root of roots) rmSync(root, { recursive: true, force: true });
  });

  /** A computer with these files. */
  function computer(files: Readonly<Record<string, string>>): string {
    const root = mkdtempSync(join(tmpdir(), 'ipseckit-servers-'));
    roots.push(root);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    return root;
  }

  test('are none where nothing says so', () => {
    assert.deepEqual(readServers(computer({})), { dns: [], wins: [], dhcp: [], gateway: [] });
  });

  test('DNS: resolv.conf, and what is behind a stub', () => {
    const root = computer({
      'etc/resolv.conf':
        '# nameserver 192.0.2.1\nnameserver 192.0.2.54\nsearch x\n nameserver\t192.0.2.53 \n',
      'run/systemd/resolve/resolv.conf': 'nameserver 192.0.2.99\n',
    });
    assert.deepEqual(readServers(root).dns, ['192.0.2.53', '192.0.2.54']);
    const stub = computer({
      'etc/resolv.conf': 'nameserver 127.0.0.53\n',
      'run/systemd/resolve/resolv.conf': 'nameserver 192.0.2.99\nnameserver 2001:db8::53\n',
    });
    assert.deepEqual(readServers(stub).dns, ['192.0.2.99', '2001:db8::53']);
  });

  test('DHCP and WINS: the leases of the common clients, and Samba', () => {
    const root = computer({
      'run/systemd/netif/leases/2': '# private\nADDRESS=192.0.2.10\nSERVER_ADDRESS=192.0.2.67\n',
      'var/lib/NetworkManager/internal-1-eth1.lease': 'SERVER_ADDRESS=192.0.2.66\n',
      'var/lib/NetworkManager/secret_key': 'SERVER_ADDRESS=192.0.2.1\n',
      'var/lib/dhcp/dhclient.leases': `lease {
  option dhcp-server-identifier 192.0.2.1;
}
lease {
  option dhcp-server-identifier 192.0.2.68;
  option netbios-name-servers 192.0.2.42,192.0.2.43;
}
`,
      'etc/samba/smb.conf': '[global]\n  wins server = corp:192.0.2.44 192.0.2.42\n',
    });
    const { dhcp, wins } = readServers(root);
    assert.deepEqual(dhcp, ['192.0.2.66', '192.0.2.67', '192.0.2.68']);
    assert.deepEqual(wins, ['192.0.2.42', '192.0.2.43', '192.0.2.44']);
  });

  test('default gateway: the routing table', () => {
    const root = computer({
      'proc/net/route': [
        'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
        'eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
        'ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0',
        'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
        'eth0\t0000000A\t020200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0',
        '',
      ].join('\n'),
    });
    assert.deepEqual(readServers(root).gateway, ['192.0.2.1']);
  });
});
