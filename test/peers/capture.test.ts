/** `ipseckit capture` beside strongSwan: what it writes is opened decrypted by tshark, and explained by `ike replay`. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CaptureSummary } from '../../src/cli/capture/capture.js';
import type { ReplayNegotiation, ReplayReport } from '../../src/diag/replay/report.js';
import { needs } from '../lab/needs.js';
import { ping } from '../lab/traffic.js';
import { decode, type TsharkPacket } from '../lab/tshark.js';
import {
  addInsides,
  configure,
  configureTheirs,
  makeLab,
  type OwnLab,
  ourConnection,
  psk,
  target,
  theirAddress,
} from './lab.js';
import { secure } from './secure.js';

const suite = { ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };

describe('capture with strongSwan as the peer', { skip: needs('charon', 'nft', 'ping', 'tshark') }, () => {
  let lab: OwnLab;
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-capture-test-'));
  const base = (name: string) => join(folder, name);

  before(async () => {
    lab = await makeLab({ prefix: 'capt' });
    addInsides(lab);
  });

  after(async () => {
    await lab?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs `capture` while `traffic` happens, ends it with Ctrl-C unless it ends by itself. */
  async function captured(args: readonly string[], traffic: () => Promise<unknown>): Promise<CaptureSummary> {
    const child = lab.ours.spawn(
      process.execPath,
      [resolve('bin/ipseckit.js'), 'capture', '--json', ...args],
      {
        env: { ...process.env, IPSECKIT_HOME: lab.agent.home },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const ended = once(child, 'close');
    const said = { stdout: '', stderr: '' };
    child.stdout?.setEncoding('utf8').on('data', text => {
      said.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', text => {
      said.stderr += text;
    });
    while (!said.stderr.includes('Recording')) {
      if (child.exitCode !== null) throw new Error(`capture ended: ${said.stderr}${said.stdout}`);
      await Promise.race([once(child.stderr ?? child, 'data'), ended]);
    }
    await traffic();
    child.kill('SIGINT');
    await ended;
    return JSON.parse(said.stdout);
  }

  async function replayed(file: string, ...args: readonly string[]): Promise<ReplayNegotiation> {
    const { stdout, stderr } = await lab.agent.command('ipseckit', 'ike', 'replay', file, '--json', ...args);
    const report: ReplayReport = JSON.parse(stdout || stderr);
    assert.equal(report.negotiations.length, 1, stdout);
    const [negotiation] = report.negotiations;
    assert.ok(negotiation);
    return negotiation;
  }

  test('everything opens decrypted, and what is inside ESP is what was recorded inside', async () => {
    await configure(lab, 'tunnel', suite, { theirs: { encapsulate: true } });
    const there = target('theirs', 'tunnel');
    const summary = await captured(['-o', base('office')], () => ping(lab.ours, there, { count: 3 }));
    assert.equal(summary.endedBy, 'interrupted');
    assert.deepEqual(summary.interfaces.map(({ name, side, lost }) => [name, side, lost]).sort(), [
      ['eth0', 'wire', 0],
      ['ipseckit0', 'inner', 0],
    ]);
    assert.deepEqual([summary.keys?.ike, summary.keys?.esp], [1, 2]);
    for (const file of ['office.pcapng', 'office.keys/esp_sa', 'office.keys/ikev1_decryption_table'])
      assert.equal(statSync(base(file)).mode & 0o777, 0o600, file);

    const packets = await decode(summary.file, summary.keys?.folder);
    for (const { frame, complaints } of packets) assert.deepEqual([frame, complaints], [frame, []]);
    const echo = ({ fields }: TsharkPacket) => [
      fields.get('ip.src')?.at(-1),
      fields.get('ip.dst')?.at(-1),
      ...['icmp.type', 'icmp.ident', 'icmp.seq'].map(name => fields.get(name)?.[0]),
    ];
    const echoes = packets.filter(({ protocols }) => protocols.includes('icmp'));
    const outside = echoes.filter(({ protocols }) => protocols.includes('esp')).map(echo);
    const inside = echoes.filter(({ protocols }) => !protocols.includes('esp')).map(echo);
    assert.equal(inside.length, 6);
    assert.deepEqual(outside.map(String).sort(), inside.map(String).sort());
    const messages = packets.filter(({ protocols }) => protocols.includes('isakmp'));
    const quick = messages.find(({ fields }) => fields.get('isakmp.exchangetype')?.[0] === '32');
    assert.deepEqual(quick?.fields.get('isakmp.typepayload')?.[0], '8', 'quick mode 1 is decrypted');
    assert.match(String(messages[1]?.fields.get('frame.comment')), /^main mode 2: SA .*chosen: proposal/);

    writeFileSync(base('psk'), psk, { mode: 0o600 });
    const negotiation = await replayed(summary.file, '--psk-file', base('psk'));
    assert.deepEqual([negotiation.outcome, negotiation.decrypted], ['established', 'all']);
    assert.equal(negotiation.proofs.filter(({ matches }) => matches).length, 2);
    const [quickMode] = negotiation.quickModes;
    assert.match(quickMode?.traffic ?? '', /^tunnel mode for 10\.1\.0\.0\/24 -> 10\.2\.0\.0\/24/);
    assert.deepEqual(
      quickMode?.spis.map(({ receiver, packets: seen }) => [receiver, seen]),
      [
        ['initiator', 3],
        ['responder', 3],
      ],
    );
  });

  test('SAs that were up before are readable; limits end it; nothing is overwritten', async () => {
    const there = target('theirs', 'tunnel');
    const summary = await captured(['-o', base('later'), '--peer', theirAddress, '--count', '4'], () =>
      ping(lab.ours, there, { count: 3 }),
    );
    assert.equal(summary.endedBy, 'count');
    assert.equal(
      summary.interfaces.reduce((sum, { packets }) => sum + packets, 0),
      4,
    );
    assert.equal(summary.keys?.esp, 2);
    const packets = await decode(summary.file, summary.keys?.folder, 'esp');
    assert.ok(packets.length > 0);
    for (const { protocols } of packets) assert.ok(protocols.includes('icmp'), protocols.join());
    const again = await lab.agent.command('ipseckit', 'capture', '-o', base('later'), '--json');
    assert.equal(again.status, 2, again.stderr);
    assert.equal(statSync(summary.file).size, summary.bytes);
    const withoutKeys = await captured(['-o', base('bare'), '--no-keys'], () =>
      ping(lab.ours, there, { count: 1 }),
    );
    assert.deepEqual([withoutKeys.keys, existsSync(base('bare.keys'))], [undefined, false]);
  });

  test('failing negotiations are explained from their capture', async () => {
    await secure(lab.agent);
    const attempt = () => ping(lab.ours, target('theirs', 'tunnel'), { count: 1 });
    await configureTheirs(lab, 'tunnel', suite, { psk: 'quite another', encapsulate: true });
    await secure(lab.agent, ourConnection('tunnel', suite));
    const wrongKey = await captured(['-o', base('psk-differs')], attempt);
    assert.equal((await replayed(wrongKey.file)).failure?.reason, 'preshared-keys-differ');

    await secure(lab.agent, ourConnection('tunnel', { ...suite, ike: '3des-md5-modp1024' }));
    const refused = await replayed((await captured(['-o', base('no-proposal')], attempt)).file);
    assert.equal(refused.failure?.reason, 'no-proposal-chosen');
    assert.match(refused.proposals?.offered[0]?.text ?? '', /hash MD5/);

    await secure(lab.agent, ourConnection('tunnel', suite, { peer: '10.66.0.77' }));
    lab.ours.run('ip', 'neigh', 'add', '10.66.0.77', 'lladdr', '02:00:00:00:00:77', 'dev', 'eth0');
    const silent = await replayed(
      (
        await captured(['-o', base('silent')], async () => {
          await attempt();
          await new Promise(done => setTimeout(done, 4_000));
        })
      ).file,
    );
    assert.match(silent.failure?.text ?? '', /^10\.66\.0\.77 did not answer main mode 1 \(sent \d times/);
  });
});
