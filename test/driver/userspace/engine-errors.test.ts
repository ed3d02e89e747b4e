/** ICMP errors of routers that no selector covers, about what a tunnel carries (RFC 4301 6.2). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DriverFilter, DropReason, FilterId, PairId } from '../../../src/driver/api.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { packetAddress } from '../../../src/wire/ip/ip.js';
import { encodeIpv6 } from '../../../src/wire/ip/ipv6.js';
import { ipProtocol } from '../../../src/wire/ip/packet.js';
import { mirrorSelector, type Selector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  type EngineHost,
  filter,
  left,
  makePair,
  netSelector,
  right,
  twoHosts,
} from '../../support/engine-pair.js';
import { icmpError, ipPacket, tcpPacket, udpPacket } from '../../support/packets.js';

/** As the receiver of errors, `right`, sees its tunnel. */
const nets = netSelector('10.2.0.0', '10.1.0.0');
const inside = '10.2.0.4';
const far = '10.1.0.3';
const router = '203.0.113.7';
const sent = udpPacket({ source: inside, destination: far, data: new Uint8Array(20) });
const toInside = { source: router, destination: inside };
const hostUnreachable = (quoted: Uint8Array, ends = toInside) => icmpError(ends, 3, 1, quoted);

const everything = netSelector('0.0.0.0', '0.0.0.0', 0);
const everything6 = netSelector('::', '::', 0);

/** `left` sends anything through the pair; for `right` it carries `selector`. */
function connected(
  options: {
    readonly selector?: Selector;
    readonly first?: readonly DriverFilter[];
    readonly last?: readonly DriverFilter[];
  } = {},
) {
  const { selector = nets, first = [], last = [] } = options;
  const hosts = twoHosts();
  const own = filter({ id: 'own', selector, tunnelEndpoint: left });
  const back = filter({
    id: 'back',
    direction: 'inbound',
    selector: mirrorSelector(selector),
    tunnelEndpoint: right,
  });
  hosts.right.engine.setFilters([...first, own, back, ...last], 0);
  const all = selector.source.first.includes(':') ? everything6 : everything;
  hosts.left.engine.setFilters([filter({ id: 'all', selector: all, tunnelEndpoint: right })], 0);
  const suite = { esp: { encryption: 'aes128gcm' } } as const;
  const extraRight = { selector, filterId: 'own' as FilterId };
  connect(hosts, makePair(hosts.random, { suite, mode: 'tunnel', selector: all, extraRight }));
  /** How many came in, and why others did not. */
  const send = (packet: Uint8Array) => {
    const before = hosts.right.engine.statistics().drops;
    hosts.left.send(packet);
    hosts.network.run();
    return [hosts.right.received().length, ...reasonsSince(hosts.right, before)];
  };
  return { ...hosts, send };
}

function reasonsSince(host: EngineHost, before: Readonly<Record<DropReason, number>>): DropReason[] {
  const after = host.engine.statistics().drops;
  return (Object.keys(after) as DropReason[]).filter(reason => after[reason] > before[reason]);
}

const mismatch = [0, 'selector-mismatch'];

describe('an ICMP error out of a tunnel, by a router that its selector does not cover', () => {
  test('comes in when it quotes what the pair carries', () => {
    const { send } = connected();
    for (const [type, code] of [
      [3, 1],
      [3, 3],
      [3, 4],
      [11, 0],
      [12, 0],
    ] as const)
      assert.deepEqual(send(icmpError(toInside, type, code, sent)), [1], `type ${type}, code ${code}`);
    assert.deepEqual(send(hostUnreachable(sent.subarray(0, 28))), [1], 'all that RFC 792 asks for');
  });

  test('is dropped when it is no error, or does not quote enough', () => {
    const { send } = connected();
    for (const type of [0, 4, 5, 8])
      assert.deepEqual(send(icmpError(toInside, type, 0, sent)), mismatch, `type ${type}`);
    assert.deepEqual(send(ipPacket(toInside, ipProtocol.udp, sent)), mismatch, 'another protocol');
    for (const length of [0, 1, 19, 20, 23])
      assert.deepEqual(send(hostUnreachable(sent.subarray(0, length))), mismatch, `${length} bytes quoted`);
    const options = Uint8Array.from(sent.subarray(0, 28));
    options[0] = 0x4f;
    assert.deepEqual(send(hostUnreachable(options)), mismatch, 'a header with more options than are quoted');
    const version = Uint8Array.from(sent);
    version[0] = 0x65;
    assert.deepEqual(send(hostUnreachable(version)), mismatch, 'another family');
  });

  test('is dropped when it is about other traffic, or goes to another', () => {
    const { send } = connected();
    const about = (source: string, destination: string, to = source) =>
      send(hostUnreachable(udpPacket({ source, destination }), { source: router, destination: to }));
    assert.deepEqual(about(inside, far), [1]);
    assert.deepEqual(about('10.2.0.5', far, inside), mismatch, 'the quoted sender is another');
    assert.deepEqual(about('10.9.0.4', far), mismatch, 'the quoted sender is not of this end');
    assert.deepEqual(about(inside, '10.7.0.3'), mismatch, "another SA's traffic");
    assert.deepEqual(about(far, inside), mismatch, 'the other way');
    assert.deepEqual(about(far, inside, inside), mismatch, 'the other way, to the right host');
  });

  test('is held against protocol and ports as well', () => {
    const { send } = connected({ selector: { ...nets, protocol: 6, destinationPort: 80 } });
    const about = (destinationPort: number, ends = toInside) =>
      send(hostUnreachable(tcpPacket({ source: inside, destination: far, destinationPort }), ends));
    assert.deepEqual(about(80), [1]);
    assert.deepEqual(about(80, { source: far, destination: inside }), [1], 'of the far host itself');
    assert.deepEqual(about(81), mismatch);
    assert.deepEqual(send(hostUnreachable(sent)), mismatch);
  });

  test('passes the filters both as what it is and as what it is about', () => {
    const block = (selector: Selector) =>
      filter({ id: 'block', direction: 'inbound', action: 'block', selector });
    const icmp = block({ ...everything, protocol: 1 });
    const udp = block({ ...mirrorSelector(nets), protocol: 17 });
    for (const first of [icmp, udp])
      assert.deepEqual(connected({ first: [first] }).send(hostUnreachable(sent)), [0, 'blocked']);
    assert.deepEqual(connected({ last: [icmp, udp] }).send(hostUnreachable(sent)), [1]);
  });

  test('of IPv6', () => {
    const selector = netSelector('fd02::', 'fd01::', 64);
    const { send } = connected({ selector });
    const packet = (source: string, destination: string, nextHeader: number, payload: Uint8Array) => {
      const address = (text: string) => BigInt(packetAddress(ipAddress(text)));
      const ends = { source: address(source), destination: address(destination) };
      return encodeIpv6({ tos: 0, flowLabel: 0, nextHeader, ttl: 64, ...ends }, payload);
    };
    const quoted = packet('fd02::4', 'fd01::3', ipProtocol.udp, new Uint8Array(8));
    const error = (type: number, quote: Uint8Array, to = 'fd02::4') =>
      send(packet('2001:db8::7', to, ipProtocol.icmpv6, Uint8Array.of(type, 0, 0, 0, 0, 0, 5, 0, ...quote)));
    for (const type of [1, 2, 3, 4]) assert.deepEqual(error(type, quoted), [1], `type ${type}`);
    for (const type of [128, 129, 135, 137]) assert.deepEqual(error(type, quoted), mismatch, `type ${type}`);
    assert.deepEqual(error(1, quoted.subarray(0, 40)), mismatch);
    assert.deepEqual(error(1, quoted, 'fd02::5'), mismatch);
    const elsewhere = packet('fd02::4', 'fd07::3', ipProtocol.udp, new Uint8Array(8));
    assert.deepEqual(error(1, elsewhere), mismatch);
  });
});

describe('an ICMP error of a router behind this gateway that no filter covers', () => {
  const arrived = udpPacket({ source: far, destination: inside });
  const toFar = { source: router, destination: far };

  test('goes into the tunnel that brought what it quotes, or nowhere', () => {
    const { right: gateway, left: peer, network } = connected();
    /** How many arrived, and why others were not sent. */
    const send = (packet: Uint8Array) => {
      const before = gateway.engine.statistics().drops;
      gateway.send(packet);
      network.run();
      return [peer.received().length, ...reasonsSince(gateway, before)];
    };
    assert.deepEqual(send(hostUnreachable(arrived, toFar)), [1]);
    const lost = [0, 'clear-but-secured'];
    assert.deepEqual(send(icmpError(toFar, 0, 0, arrived)), lost, 'no error');
    assert.deepEqual(
      send(hostUnreachable(arrived, { ...toFar, destination: '10.1.0.9' })),
      lost,
      'to another',
    );
    const other = udpPacket({ source: '10.7.0.3', destination: inside });
    assert.deepEqual(
      send(hostUnreachable(other, { ...toFar, destination: '10.7.0.3' })),
      lost,
      'about others',
    );
    gateway.engine.removePair('pair-1' as PairId);
    assert.deepEqual(send(hostUnreachable(arrived, toFar)), lost, 'no pair');
  });

  test('goes in clear where what it quotes came in clear', () => {
    const web = { ...nets, protocol: 6, destinationPort: 80 };
    const permit = filter({ id: 'web', action: 'permit', selector: web });
    const { right: gateway, network } = connected({ first: [permit] });
    const sentClear: Uint8Array[] = [];
    network.transit = packet => {
      sentClear.push(packet);
      return [];
    };
    const error = hostUnreachable(tcpPacket({ source: far, destination: inside, sourcePort: 80 }), toFar);
    gateway.send(error);
    network.run();
    assert.deepEqual(sentClear, [error]);
  });
});
