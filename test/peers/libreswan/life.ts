/** Keys that are renewed, peers that ask whether we live, and one that forgets everything. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { exportLibreswan } from '../../../src/policy/export/libreswan.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { waitFor } from '../../lab/command.js';
import { ping, pingSteadily } from '../../lab/traffic.js';
import { policyOf } from '../../policy/support.js';
import { flushXfrm } from '../kernel/xfrm.js';
import { insideNetworks, ourAddress, psk, target, theirAddress } from '../lab.js';
import { auditEvents } from '../secure.js';
import { configureTheirs, type PlutoLab, secureOurs, suite, withLogs } from './lab.js';

/** The policy of their side, as libreswan is given it. Their network's route is there already. */
function exported() {
  const { ours, theirs } = insideNetworks;
  const common = `-w REG -p Peer -n AH[SHA]PFS14 -1s AES128-SHA-14 -a PRESHARE:"${psk}"`;
  const policy = policyOf(
    `${common} -r Out -f ${theirs}=${ours} -t ${ourAddress}`,
    `${common} -r Back -f ${ours}=${theirs} -t ${theirAddress}`,
  );
  const { files, notes } = exportLibreswan(policy, {
    localAddresses: [ipAddress(theirAddress)],
    keys: 'shown',
  });
  assert.deepEqual(notes, []);
  const [configuration = '', secrets = ''] = files.map(({ text }) => text);
  return {
    configuration: configuration.replaceAll('\tleft=', '\tleftupdown=%disabled\n\tleft='),
    secrets,
    names: [...configuration.matchAll(/^conn (.*)$/gm)].map(([, name = '']) => name),
  };
}

export function lifeTests(lab: () => PlutoLab): void {
  describe('life', () => {
    const count = 100;
    const stream = () =>
      pingSteadily(lab().ours, target('theirs', 'tunnel'), { count, intervalSeconds: 0.05 }).then(
        ({ received }) =>
          // pluto loses one now and then when it takes an old SA away.
          assert.ok(received >= count - 2, `${received} of ${count}`),
      );

    // It begins to renew IKEv1 by its own clock only.
    test('libreswan renews both modes under traffic, and asks whether we live', () =>
      withLogs(lab(), async () => {
        const { agent, pluto } = lab();
        await configureTheirs(lab(), 'tunnel', undefined, {
          ...{ ikelifetime: '12s', salifetime: '12s', rekeymargin: '10s', rekeyfuzz: '0%' },
          ...{ dpddelay: '1', dpdtimeout: '5', dpdaction: 'clear' },
        });
        await secureOurs(lab(), 'tunnel');
        await pluto.initiate('peer');
        const before = established(lab());
        await stream();
        const renewed = established(lab());
        assert.ok(renewed.quick > before.quick && renewed.main > before.main);
        // It asks when nothing has come for a while.
        await waitFor('a probe and our answer', () => agent.log.includes('R-U-THERE-ACK'));
        await pluto.terminate('peer');
        await agent.call('clearDynamic', {});
      }));

    test('we renew both modes under traffic', () =>
      withLogs(lab(), async () => {
        const { ours, agent } = lab();
        await configureTheirs(lab(), 'tunnel');
        await secureOurs(lab(), 'tunnel', undefined, { lifetimeSeconds: 3, mainModeLifetimeSeconds: 3 });
        await ping(ours, target('theirs', 'tunnel'), { count: 1 });
        const before = established(lab());
        await stream();
        const renewed = established(lab());
        assert.ok(renewed.quick > before.quick && renewed.main > before.main);
        await agent.call('clearDynamic', {});
      }));

    test('a pluto that has lost everything comes back with what was exported for it', () =>
      withLogs(lab(), async () => {
        const { ours, theirs, agent, pluto } = lab();
        await configureTheirs(lab(), 'tunnel');
        const ah = { ...suite, ours: { ike: suite.ours.ike, ah: 'sha1-modp2048' } };
        await secureOurs(lab(), 'tunnel', suite);
        await ping(ours, target('theirs', 'tunnel'), { count: 1 });
        await pluto.kill();
        flushXfrm(theirs);
        await secureOurs(lab(), 'tunnel', ah);
        await pluto.restart();
        const { configuration, secrets, names } = exported();
        await pluto.loadSecrets(secrets);
        await pluto.loadFile(configuration, names);
        const said = pluto.log().length;
        await pluto.initiate(names[0] ?? '');
        const [pair] = pluto.pairsSince(said);
        assert.match(pair?.text ?? '', /^AH=>.* xfrm=HMAC_SHA1_96/);
        const three = { sent: 3, received: 3 };
        assert.deepEqual(await ping(ours, target('theirs', 'tunnel'), { count: 3 }), three);
        assert.deepEqual(await ping(theirs, target('ours', 'tunnel'), { count: 3 }), three);
        await agent.call('clearDynamic', {});
      }));
  });
}

/** How many main and quick modes were established so far. */
function established({ agent }: PlutoLab): { readonly main: number; readonly quick: number } {
  const of = (mode: 'main' | 'quick') =>
    auditEvents(agent).filter(event => event.id === 541 && event.mode === mode).length;
  return { main: of('main'), quick: of('quick') };
}
