/** A network that changes addresses under a tunnel's traffic: what cannot go on ends with a reason, and the tunnel comes back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../lab/command.js';
import { needs } from '../lab/needs.js';
import { PingStream, ping } from '../lab/traffic.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type HostPair } from '../support/namespaces.js';
import { addInsides, insideNetworks, ourAddress, target, theirAddress } from './lab.js';
import { auditEvents, secure } from './secure.js';

const newAddress = '10.66.0.7';
const there = target('theirs', 'tunnel');
const common = { presharedKey: 'a key', ike: 'aes128-sha1-modp1024', esp: 'aes128-sha1' };
const back = { localNetworks: [insideNetworks.theirs], remoteNetworks: [insideNetworks.ours] };
const networks = { localNetworks: [insideNetworks.ours], remoteNetworks: [insideNetworks.theirs] };

describe('a network that changes addresses', { skip: needs('nft', 'ping'), timeout: 120_000 }, () => {
  let hosts: HostPair;
  let ours: AgentOnHost;
  let theirs: AgentOnHost;

  before(async () => {
    hosts = await createPair({ prefix: 'adr', a: [`${ourAddress}/24`], b: [`${theirAddress}/24`] });
    addInsides({ ours: hosts.a, theirs: hosts.b });
    ours = await AgentOnHost.start(hosts.a);
    theirs = await AgentOnHost.start(hosts.b);
    await secure(theirs, { ...common, ...back, local: theirAddress, peer: ourAddress });
    await ours.tunnelUp({ ...common, ...networks, name: 'moving', ...ends, localFollowsRoute: true });
  });

  after(async () => {
    await ours?.remove();
    await theirs?.remove();
    await hosts?.destroy();
  });

  const ends = { local: ourAddress, peer: theirAddress };
  const tunnel = async () => {
    const [info] = await ours.call('tunnelList', {});
    return `${info?.state} ${info?.local}`;
  };
  const established = () => auditEvents(ours).filter(({ id }) => id === 541).length;

  test('an interface that is down for a moment ends nothing', async () => {
    const before = established();
    const stream = new PingStream(hosts.a, there);
    hosts.a.run('ip', 'link', 'set', 'eth0', 'down');
    hosts.a.run('ip', 'link', 'set', 'eth0', 'up');
    await waitFor(
      'an answer',
      async () => (await ping(hosts.a, there, { count: 1, waitSeconds: 1 })).received === 1,
    );
    await stream.stop();
    assert.equal(established(), before);
    assert.equal(await tunnel(), `up ${ourAddress}`);
  });

  test('another address: all from the old one ends for that reason, and the tunnel comes back from the new one', async () => {
    const stream = new PingStream(hosts.a, there);
    hosts.a.run('ip', 'address', 'add', `${newAddress}/24`, 'dev', 'eth0');
    hosts.a.run('ip', 'address', 'del', `${ourAddress}/24`, 'dev', 'eth0');
    // A secondary address goes with the first one.
    hosts.a.run('ip', 'address', 'replace', `${newAddress}/24`, 'dev', 'eth0');
    await secure(theirs, { ...common, ...back, local: theirAddress, peer: newAddress });
    const reason = `${ourAddress} is no longer an address of this host`;
    await waitFor('the end of what was', () =>
      auditEvents(ours).some(event => event.id === 543 && event.reason === reason),
    );
    assert.ok(auditEvents(ours).some(event => event.id === 542 && event.reason === reason));
    await waitFor('the tunnel', async () => (await tunnel()) === `up ${newAddress}`);
    await waitFor(
      'answers',
      async () => (await ping(hosts.a, there, { count: 3, waitSeconds: 1 })).received === 3,
    );
    await stream.stop();
    const { mainModes, quickModes } = await ours.call('associations', {});
    assert.ok(
      [...mainModes, ...quickModes.map(({ pair }) => pair)].every(({ local }) => local === newAddress),
    );
  });
});
