import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DriverFilter, DropReason, PairId } from '../../../src/driver/api.js';
import type { ConnectionType } from '../../../src/driver/connection-type.js';
import { PacketEngine } from '../../../src/driver/userspace/engine.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { mirrorSelector, type Selector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  filter,
  hostSelector,
  left,
  makePair,
  netSelector,
  type PairOptions,
  right,
  twoHosts,
} from '../../support/engine-pair.js';
import { type PacketOptions, tcpPacket, udpPacket } from '../../support/packets.js';

const esp = { esp: { encryption: 'aes128gcm' } } as const;
const where = { source: left, destination: right };
const arriving = hostSelector(left, right);
const tcp = (destinationPort: number): Selector => ({ ...arriving, protocol: 6, destinationPort });
const inbound = (id: string, selector: Selector, more: Partial<DriverFilter> = {}) =>
  filter({ ...more, id, selector, direction: 'inbound' });
const outbound = (id: string, selector: Selector, more: Partial<DriverFilter> = {}) =>
  filter({ ...more, id, selector: mirrorSelector(selector) });
const block = { action: 'block' } as const;
const permit = { action: 'permit' } as const;
/** What the pair of these tests serves. */
const own = [outbound('own', arriving), inbound('own in', arriving)];

/** Hosts with a pair, which `right` has negotiated for its filter `own`. */
function connected(filters: readonly DriverFilter[], options: Partial<PairOptions> = {}) {
  const hosts = twoHosts();
  hosts.right.engine.setFilters(filters, 0);
  connect(
    hosts,
    makePair(hosts.random, { suite: esp, extraRight: { filterId: own[0]?.id ?? ('' as never) }, ...options }),
  );
  // Its sender has no filters but one: what it sends goes into the pair.
  const into = filter({
    id: 'into',
    selector: options.selector ?? arriving,
    ...(options.mode === 'tunnel' ? { tunnelEndpoint: right } : {}),
  });
  hosts.left.engine.setFilters([into], 0);
  /** Which of them came in, and what became of the others. */
  const send = (...packets: Uint8Array[]) => {
    const before = hosts.right.engine.statistics().drops;
    hosts.left.send(...packets);
    hosts.network.run();
    const after = hosts.right.engine.statistics().drops;
    const reasons = Object.keys(after) as DropReason[];
    const drops = reasons.filter(reason => after[reason] > before[reason]);
    return [hosts.right.received().length, ...drops];
  };
  return { ...hosts, send };
}

const toPort = (destinationPort: number, ends: PacketOptions = where) =>
  tcpPacket({ ...ends, destinationPort });

describe('what a pair brings passes the inbound filters', () => {
  test('a block filter before its own drops it and counts it, one behind does not', () => {
    const hosts = connected([inbound('telnet', tcp(23), block), ...own, inbound('all', arriving, block)]);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'blocked']);
    assert.deepEqual(hosts.send(toPort(80)), [1]);
    assert.deepEqual([...hosts.right.engine.dropHistory().byFilter], [['telnet', 1]]);
    assert.deepEqual(hosts.right.engine.pairStatistics()[0]?.drops, { blocked: 1 });
  });

  test('nor does it come in by the SA of another filter than its own', () => {
    const files = [outbound('files', tcp(445)), inbound('files in', tcp(445))];
    const hosts = connected([...files, ...own], { suite: { ah: 'sha1' } });
    assert.deepEqual(hosts.send(toPort(445)), [0, 'selector-mismatch']);
    assert.deepEqual(hosts.send(toPort(80)), [1]);
    assert.match(hosts.right.engine.dropHistory().recent[0]?.note ?? '', /files in/);
    // Whichever filter of the two was named when the pair was negotiated.
    const named = connected([...files, ...own], { extraRight: { filterId: 'files in' as never } });
    assert.deepEqual(named.send(toPort(445)), [1]);
  });

  test('what would come in even in clear comes in protected', () => {
    const fallback = { allowFallback: true };
    const hosts = connected([]);
    for (const [first, expected] of [
      [inbound('web', tcp(80), permit), [1]],
      [inbound('web', tcp(80), { acceptUnsecured: true }), [1]],
      [inbound('web', tcp(80), fallback), [0, 'selector-mismatch']],
    ] as const) {
      hosts.right.engine.setFilters([first, ...own], 0);
      assert.deepEqual(hosts.send(toPort(80)), expected);
    }
    const soft = outbound('soft', arriving, fallback);
    hosts.right.engine.addSoftSa({ filterId: soft.id, local: right, peer: left }, 0);
    assert.deepEqual(hosts.send(toPort(80)), [1]);
  });

  test('without a filter that has all of its traffic, those of a part let that part in', () => {
    const parts = [outbound('own', arriving), inbound('web', tcp(80)), inbound('telnet', tcp(23), block)];
    const hosts = connected(parts);
    assert.deepEqual(hosts.send(toPort(80)), [1]);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'blocked']);
    assert.deepEqual(hosts.send(toPort(25)), [1], 'no filter has a say');
  });

  test('a pair of the default response rule serves the filters that came with it', () => {
    const files = inbound('files in', tcp(445));
    const hosts = connected([files, inbound('telnet', tcp(23), block)], { extraRight: {} });
    hosts.right.engine.setFilters([files, inbound('telnet', tcp(23), block), ...own], 0);
    assert.deepEqual(hosts.send(toPort(80)), [1]);
    assert.deepEqual(hosts.send(toPort(445)), [0, 'selector-mismatch']);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'blocked']);
  });

  test('filters that change while the pair lives decide from then on', () => {
    const hosts = connected(own);
    assert.deepEqual(hosts.send(toPort(23)), [1]);
    hosts.right.engine.setFilters([inbound('telnet', tcp(23), block), ...own], 0);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'blocked']);
    hosts.right.engine.setFilters([outbound('own', arriving), inbound('own in', arriving, block)], 0);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'blocked'], 'its own, too');
    hosts.right.engine.setFilters(own, 0);
    assert.deepEqual(hosts.send(toPort(23)), [1]);
    hosts.right.engine.removePair('pair-1' as PairId);
    assert.deepEqual(hosts.send(toPort(23)), [0, 'bad-spi']);
  });

  test('tunnels bring what their own filter covers, to this host and through it', () => {
    const nets = netSelector('10.1.0.0', '10.2.0.0');
    const tunnel = [
      outbound('own', nets, { tunnelEndpoint: left }),
      inbound('own in', nets, { tunnelEndpoint: right }),
    ];
    const web = inbound('web', { ...nets, protocol: 6, destinationPort: 80 }, permit);
    const transport = inbound('host', netSelector('0.0.0.0', '10.2.0.9', 0));
    const ends = { source: '10.1.0.3', destination: '10.2.0.4' };
    const pair = { mode: 'tunnel', selector: nets } as const;
    const hosts = connected(
      [inbound('telnet', { ...nets, protocol: 6, destinationPort: 23 }, block), web, ...tunnel],
      pair,
    );
    assert.deepEqual(hosts.send(udpPacket(ends)), [1]);
    assert.deepEqual(hosts.send(toPort(23, ends)), [0, 'blocked']);
    assert.deepEqual(hosts.send(toPort(80, ends)), [1], 'what may come in clear may come protected');
    hosts.right.engine.setFilters([...tunnel, transport], 0);
    assert.deepEqual(hosts.send(udpPacket(ends)), [1]);
    hosts.right.engine.setFilters([transport, ...tunnel], 0);
    assert.deepEqual(hosts.send(udpPacket(ends)), [0, 'selector-mismatch']);
    // The filter for the way back has only a part, or there is none.
    hosts.right.engine.setFilters(
      [outbound('own', nets), inbound('part', { ...nets, protocol: 17 }, { tunnelEndpoint: right })],
      0,
    );
    assert.deepEqual(hosts.send(udpPacket(ends), toPort(80, ends)), [2]);
  });

  test('behind NAT the addresses are those of packets, the filter is the one that was negotiated', () => {
    const inside = hostSelector(ipAddress('10.9.0.5'), right);
    const filters = [outbound('own', inside), inbound('own in', inside)];
    const nat = {
      extraRight: { filterId: 'own' as never, selector: mirrorSelector(inside) },
      extra: { udpEncapsulation: { localPort: 4500, peerPort: 4500 } },
    };
    const hosts = connected([...filters, inbound('all', netSelector('0.0.0.0', right, 0))], nat);
    assert.deepEqual(hosts.send(udpPacket(where)), [1]);
    hosts.right.engine.setFilters([inbound('all', arriving, block), ...filters], 0);
    assert.deepEqual(hosts.send(udpPacket(where)), [0, 'blocked']);
  });

  test('filters of some adapters decide about pairs whose address such an adapter has', () => {
    for (const [type, expected] of [
      ['lan', [1]],
      ['dialup', [0, 'blocked']],
    ] as const) {
      const { left: sender, right: receiver, random, network, clock } = twoHosts();
      const written: Uint8Array[] = [];
      const engine = new PacketEngine({
        tun: { write: packets => written.push(...packets) },
        sockets: receiver.host.sockets,
        random: length => random.bytes(length),
        emit: () => {},
        connectionTypeOf: (): ConnectionType => type,
      });
      receiver.host.sockets.onIpPackets(packets => engine.processInboundIp(packets, clock.nowMs));
      engine.setFilters([inbound('telnet', tcp(23), { ...block, connectionType: 'dialup' }), ...own], 0);
      const ends = makePair(random, { suite: esp });
      engine.installInbound(ends.right, 0);
      sender.engine.installInbound(ends.left, 0);
      sender.engine.activateOutbound(ends.left.id, 0);
      sender.send(toPort(23));
      network.run();
      const { drops } = engine.statistics();
      assert.deepEqual([written.length, ...(drops.blocked > 0 ? ['blocked'] : [])], expected);
    }
  });
});
