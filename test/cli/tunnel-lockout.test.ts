import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTunnel } from '../../src/agent/tunnel.js';
import { shellConnection } from '../../src/cli/policy-source.js';
import { refuseLockout } from '../../src/cli/tunnel-lockout.js';

test('a tunnel for everything does not cut off the shell it is brought up from', () => {
  const shell = shellConnection('203.0.113.9 50000 192.0.2.1 22');
  const check = (change: object) =>
    refuseLockout(
      parseTunnel({
        ...{ format: 'ipseckit-tunnel', version: 1, name: 'office', presharedKey: 'a key' },
        ...{ local: '192.0.2.1', peer: '198.51.100.7', remoteNetworks: ['0.0.0.0/0'] },
        ...change,
      }),
      shell,
    );
  assert.throws(() => check({}), /shell from 203.0.113.9 would be cut off/);
  check({ excludedNetworks: ['203.0.113.9/32'] });
  check({ modeConfig: 'pull' });
  check({ localNetworks: ['10.1.0.0/16'] });
  check({ remoteNetworks: ['203.0.113.0/24'] });
  check({ remoteNetworks: undefined });
});
