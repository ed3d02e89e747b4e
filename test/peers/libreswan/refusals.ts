/** Why a connection with libreswan does not come up, and what it cannot do. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { TunnelDocument } from '../../../src/agent/tunnel.js';
import { ping } from '../../lab/traffic.js';
import { target } from '../lab.js';
import { configureTheirs, type PlutoLab, suite, tunnel, withLogs } from './lab.js';

const refusals: readonly (readonly [string, Partial<TunnelDocument>, RegExp])[] = [
  [
    // It does not answer what it cannot read.
    'another preshared key',
    { presharedKey: 'another preshared key' },
    /repeats main mode 4 and does not answer main mode 5: most likely the preshared keys differ, or/,
  ],
  [
    'group 2, which Debian builds it without',
    { ike: '3des-sha1-modp1024' },
    /answered NO-PROPOSAL-CHOSEN to main mode 1, which offered 3des-sha1-modp1024/,
  ],
  [
    'no quick mode method in common',
    { esp: '3des-sha1' },
    /answered NO-PROPOSAL-CHOSEN to quick mode 1, which offered esp 3des-sha1 \(tunnel\)/,
  ],
  ['other networks', { remoteNetworks: ['10.9.0.0/24'] }, /answered INVALID-ID-INFORMATION to quick mode 1/],
  [
    'it has another identity than we expect',
    { remoteId: '@gateway.example' },
    /authenticated as 10\.66\.0\.2, but gateway\.example is expected/,
  ],
  [
    'we have another identity than it expects',
    { localId: '@client.example' },
    /INVALID-ID-INFORMATION to main mode 5: the preshared keys agree, but it does not accept our identity client\.example/,
  ],
];

export function refusalTests(lab: () => PlutoLab): void {
  describe('refusals', () => {
    before(() => configureTheirs(lab(), 'tunnel'));

    for (const [name, ours, reason] of refusals)
      test(name, () =>
        withLogs(lab(), async () => {
          await assert.rejects(lab().agent.tunnelUp(tunnel(ours)), reason);
        }),
      );

    test('HMAC-SHA-256 cut to 96 bits is named', () =>
      withLogs(lab(), async () => {
        const { agent, theirs } = lab();
        await configureTheirs(lab(), 'tunnel', suite, { esp: 'aes128-sha2_256', 'sha2-truncbug': 'yes' });
        await agent.tunnelUp(tunnel({ esp: 'aes128-sha256' }));
        const { received } = await ping(theirs, target('ours', 'tunnel'), { count: 1, waitSeconds: 1 });
        assert.equal(received, 0);
        const { stdout } = await agent.command('ipseckit', 'sa', 'trace');
        assert.match(stdout, /Note: the peer truncates HMAC-SHA-256 to 96 bits, this side to 128/);
        await agent.call('tunnelDown', { name: 'peer' });
      }));
  });
}
