/** `tunnel up --capture` towards strongSwan: from the first IKE message on, for tshark and `ike replay`, also when it fails. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ReplayNegotiation, ReplayReport } from '../../src/diag/replay/report.js';
import { needs } from '../lab/needs.js';
import type { PeerConnection } from '../lab/peer-connection.js';
import { decode } from '../lab/tshark.js';
import { addInsides, makeLab, type OwnLab, psk, target, theirAddress, withLogs } from './lab.js';

const [user, password] = ['ann', 'ann has a password'];

const gateway: PeerConnection = {
  ...{ name: 'peer', local: theirAddress, remote: '%any', psk, mode: 'tunnel', encapsulate: true },
  ...{ ike: ['aes128-sha1-modp1024'], esp: ['aes128-sha1'], localSelector: '10.2.0.0/24' },
  users: { [user]: password },
  pool: { addrs: '10.3.0.7-10.3.0.9', dns: ['10.2.0.53'] },
};

describe('tunnel up --capture', { skip: needs('charon', 'nft', 'ping', 'tshark', 'xauth-generic') }, () => {
  let lab: OwnLab;
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-tunnel-capture-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };

  before(async () => {
    lab = await makeLab({
      prefix: 'tcap',
      charonSettings: 'i_dont_care_about_security_and_use_aggressive_mode_psk = yes',
    });
    addInsides(lab);
  });

  after(async () => {
    await lab?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const base = (name: string) => join(folder, name);
  const up = (name: string, key: string, ...args: readonly string[]) =>
    lab.agent.command(
      'ipseckit',
      ...['tunnel', 'up', theirAddress, '--psk-file', file('psk', key), '--capture', base(name), '--quiet'],
      ...['--ike', 'aes128-sha1-modp1024', '--esp', 'aes128-sha1', ...args],
    );
  const client = (secret: string) => [
    ...['--mode-config', 'pull', '--remote-net', '10.2.0.0/24'],
    ...['--xauth-user', user, '--xauth-password-file', file('password', secret)],
  ];

  async function replayed(name: string, ...args: readonly string[]): Promise<ReplayNegotiation> {
    const { stdout } = await lab.agent.command(
      'ipseckit',
      ...['ike', 'replay', `${base(name)}.pcapng`, '--json', ...args],
    );
    const { negotiations, notes }: ReplayReport = JSON.parse(stdout);
    assert.deepEqual([negotiations.length, notes], [1, []]);
    const [negotiation] = negotiations;
    assert.ok(negotiation);
    return negotiation;
  }

  test('--persist: until the agent has it up', () =>
    withLogs(lab, async () => {
      await lab.charon.load(gateway);
      const { status, stderr } = await up('kept', psk, ...client(password), '--persist', 'office');
      assert.equal(status, 0, stderr);
      const negotiation = await replayed('kept');
      assert.deepEqual(
        [negotiation.outcome, negotiation.decrypted, negotiation.xauth?.outcome],
        ['established', 'all', 'accepted'],
      );
      await lab.agent.call('tunnelDown', { name: 'office' });
      await lab.agent.stop();
    }));

  test('XAUTH, mode-config and traffic, all of it decrypted', () =>
    withLogs(lab, async () => {
      await lab.charon.load(gateway);
      const inside = target('theirs', 'tunnel');
      const { status, stderr } = await up('good', psk, ...client(password), '--', 'ping', '-c', '2', inside);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /^warning: .*good\.keys will hold keys/);
      assert.match(stderr, /ended by: tunnel down/);
      assert.ok(stderr.includes(`Have it explained: ipseckit ike replay '${base('good')}.pcapng'`), stderr);
      for (const name of ['good.pcapng', 'good.keys/esp_sa', 'good.keys/ikev1_decryption_table'])
        assert.equal(statSync(base(name)).mode & 0o777, 0o600, name);

      const packets = await decode(`${base('good')}.pcapng`, base('good.keys'));
      for (const { frame, complaints } of packets) assert.deepEqual([frame, complaints], [frame, []]);
      const isakmp = packets.filter(({ protocols }) => protocols.includes('isakmp'));
      const exchanges = isakmp.map(({ fields }) => Number(fields.get('isakmp.exchangetype')?.[0]));
      assert.deepEqual(exchanges.slice(0, 12), [2, 2, 2, 2, 2, 2, 6, 6, 6, 6, 6, 6]);
      const attributes = isakmp.slice(6, 12).map(({ fields }) => fields.get('isakmp.cfg.type')?.[0]);
      assert.deepEqual(attributes, ['1', '2', '3', '4', '1', '2'], 'transactions are decrypted');
      const echoes = packets.filter(({ protocols }) => protocols.includes('icmp'));
      const outside = echoes.filter(({ protocols }) => protocols.includes('esp'));
      assert.deepEqual([echoes.length, outside.length], [8, 4]);

      const negotiation = await replayed('good');
      assert.deepEqual([negotiation.outcome, negotiation.decrypted], ['established', 'all']);
      assert.equal(negotiation.configuration?.given.address, '10.3.0.7');
      assert.deepEqual([negotiation.xauth?.user, negotiation.xauth?.outcome], [user, 'accepted']);
      assert.match(negotiation.messages.at(-1)?.decisions.join() ?? '', /^deletes ISAKMP SA/);
    }));

  test('a wrong password: the file is whole, and nothing in it is overwritten', () =>
    withLogs(lab, async () => {
      await lab.charon.load(gateway);
      const { status, stderr } = await up('bad', psk, ...client('wrong'), '--', 'true');
      assert.equal(status, 10, stderr);
      assert.match(stderr, /ended by: tunnel not up.*Have it explained: ipseckit ike replay .*\nerror: /s);
      const { failure, decrypted } = await replayed('bad');
      assert.deepEqual([failure?.reason, decrypted], ['xauth-failed', 'all']);
      const before = readFileSync(`${base('bad')}.pcapng`);
      const again = await up('bad', psk, ...client(password), '--', 'true');
      assert.equal(again.status, 2, again.stderr);
      assert.deepEqual(readFileSync(`${base('bad')}.pcapng`), before);
    }));

  test('preshared keys that differ, in either mode', () =>
    withLogs(lab, async () => {
      const { users: _, pool: __, ...site } = gateway;
      const failed = async (mode: 'main' | 'aggressive', ...flags: readonly string[]) => {
        await lab.charon.load({ ...site, ...(mode === 'main' ? {} : { extra: { aggressive: 'yes' } }) });
        const common = ['--timeout', '4', '--remote-net', '10.2.0.0/24'];
        const { status, stderr } = await up(mode, 'another key', ...common, ...flags, '--', 'true');
        assert.notEqual(status, 0, stderr);
        const found = await replayed(mode, '--psk-file', file('right', psk));
        assert.deepEqual([found.mode, found.outcome], [mode, 'failed']);
        return found;
      };
      const main = await failed('main');
      assert.equal(main.failure?.reason, 'preshared-keys-differ');
      const aggressive = await failed('aggressive', '--aggressive');
      // We go on asking: what came in clear may have been anybody's.
      assert.match(
        aggressive.failure?.text ?? '',
        /kept sending aggressive mode 1: .*or it refuses it silently, as when the preshared keys differ/,
      );
      assert.deepEqual(
        [main, aggressive].map(({ proofs: [proof] }) => [proof?.by, proof?.matches]),
        [
          ['initiator', false],
          ['responder', true],
        ],
      );
    }));
});
