/** Two clients behind one NAT: whose answers are whose, and what becomes of ports that both use. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FilterId, PairId } from '../../../src/driver/api.js';
import { translatedPorts } from '../../../src/driver/translations.js';
import type { SteeredPort } from '../../../src/driver/userspace/client-ports.js';
import { MemoryNat } from '../../../src/driver/userspace/memory-nat.js';
import { type IpAddress, ipAddress } from '../../../src/wire/ip/address.js';
import { checksumOf } from '../../../src/wire/ip/checksum.js';
import { decodeIpv4, ipProtocol, ipv4FromNumber, readU16, writeU16 } from '../../../src/wire/ip/packet.js';
import { hostRange, type Selector } from '../../../src/wire/ip/selector.js';
import {
  connect,
  EngineHost,
  filter,
  right as here,
  hostSelector,
  makePair,
  left as outside,
  twoHosts,
} from '../../support/engine-pair.js';
import {
  hasGoodHeaderChecksum,
  hasGoodTransportChecksum,
  ipPacket,
  tcpPacket,
  udpPacket,
} from '../../support/packets.js';

const suite = { esp: { encryption: 'aes128', hash: 'sha1' } } as const;
const own = { a: ipAddress('10.9.8.7'), b: ipAddress('10.9.8.8') };
const outsidePort = { a: 40_000, b: 50_000 };
const l2tp = 1_701;
type Name = keyof typeof own;

type SteerRequest = { readonly port: SteeredPort; readonly done: (steered: boolean) => void };

/** Two clients at private addresses behind one NAT, each with a pair of its own with `server`. `manual`: steering waits. */
function twoClients({ manual = false } = {}) {
  const steering: SteerRequest[] = [];
  const {
    network,
    clock,
    random,
    right: server,
  } = twoHosts({
    rightSteer: (port, done) => {
      steering.push({ port, done });
      if (!manual) done(true);
    },
  });
  const nats = {
    a: new MemoryNat(own.a, outside, outsidePort.a),
    b: new MemoryNat(own.b, outside, outsidePort.b),
  };
  const hosts = {
    a: new EngineHost(network, { addresses: [own.a] }, clock, random),
    b: new EngineHost(network, { addresses: [own.b] }, clock, random),
  };
  /** What left the server, and was not for IKE's ports. */
  const clear: Uint8Array[] = [];
  network.transit = packet => {
    const { source, protocol } = decodeIpv4(packet);
    const from = ipv4FromNumber(source);
    if (from === own.a) return nats.a.translate(packet);
    if (from === own.b) return nats.b.translate(packet);
    if (protocol !== ipProtocol.udp || readU16(packet, 20) !== 4_500) clear.push(packet);
    return [...nats.a.translate(packet), ...nats.b.translate(packet)];
  };
  const pair = (name: Name, id: string, filterId?: FilterId) => {
    const l2tpOnly = {
      ...hostSelector(outside, here),
      protocol: 17,
      sourcePort: l2tp,
      destinationPort: l2tp,
    };
    const ends = makePair(random, {
      ...{ suite, id },
      ...(filterId === undefined ? {} : { selector: l2tpOnly }),
      extra: { udpEncapsulation: { localPort: 4_500, peerPort: 4_500 } },
      extraRight: {
        udpEncapsulation: { localPort: 4_500, peerPort: outsidePort[name] },
        natOriginal: { peer: own[name], local: here },
        ...(filterId === undefined ? {} : { filterId }),
      },
    });
    const leftEnd = { ...ends.left, local: own[name], natOriginal: { local: outside, peer: here } };
    connect({ left: hosts[name], right: server }, { left: leftEnd, right: ends.right });
  };
  pair('a', 'pair-a');
  pair('b', 'pair-b');
  /** A client sends, and what the server gets of it. */
  const send = (name: Name, packet: Uint8Array) => {
    hosts[name].send(packet);
    network.run();
    return server.received();
  };
  const sendTcp = (name: Name, sourcePort: number) =>
    send(
      name,
      tcpPacket({
        source: own[name],
        destination: here,
        sourcePort,
        destinationPort: 80,
        data: random.bytes(20),
      }),
    ).length;
  const sendL2tp = (name: Name, data = random.bytes(31)) => send(name, l2tpFrom(own[name], l2tp, data))[0];
  /** The server sends, and what each client gets of it. */
  const answer = (packet: Uint8Array) => {
    server.send(packet);
    network.run();
    return { a: hosts.a.received(), b: hosts.b.received() };
  };
  const answerTcp = (destinationPort: number) => {
    const { a, b } = answer(
      tcpPacket({
        source: here,
        destination: outside,
        sourcePort: 80,
        destinationPort,
        data: random.bytes(20),
      }),
    );
    return [a.length, b.length];
  };
  const answerL2tp = (port: number) => answer(l2tpTo(port, random.bytes(17)));
  return {
    ...{ server, clock, nats, random, network, hosts, steering, clear },
    ...{ pair, send, sendTcp, sendL2tp, answer, answerTcp, answerL2tp },
  };
}

function l2tpFrom(source: IpAddress, sourcePort: number, data: Uint8Array = new Uint8Array(0)) {
  return udpPacket({ source, destination: here, sourcePort, destinationPort: l2tp, data });
}

function l2tpTo(destinationPort: number, data: Uint8Array = new Uint8Array(0)) {
  return udpPacket({ source: here, destination: outside, sourcePort: l2tp, destinationPort, data });
}

function icmpPacket(source: string, destination: string, message: Uint8Array) {
  writeU16(message, 2, 0);
  writeU16(message, 2, checksumOf(message, 0, message.length));
  return ipPacket({ source, destination }, ipProtocol.icmp, message);
}

function echo(source: string, destination: string, type: 0 | 8, id: number) {
  const message = Uint8Array.of(type, 0, 0, 0, id >>> 8, id & 0xff, 0, 1, 1, 2, 3, 4);
  return icmpPacket(source, destination, message);
}

/** "Port unreachable" about a packet, from its receiver to its sender. */
function unreachable(source: string, destination: string, about: Uint8Array) {
  const message = new Uint8Array(8 + Math.min(about.length, 48));
  message[0] = 3;
  message[1] = 3;
  message.set(about.subarray(0, 48), 8);
  return icmpPacket(source, destination, message);
}

function hasGoodIcmpChecksum(packet: Uint8Array): boolean {
  return checksumOf(packet, 20, packet.length) === 0;
}

function sourcePortOf(packet: Uint8Array | undefined): number {
  assert.ok(packet, 'a packet');
  return readU16(packet, 20);
}

function isTranslated(port: number): boolean {
  return port >= translatedPorts.first && port <= translatedPorts.last;
}

/** Both clients have said something from the same port: the one the server sees of the second. */
function bothSpoke(lab: ReturnType<typeof twoClients>): number {
  assert.equal(sourcePortOf(lab.sendL2tp('a')), l2tp);
  const port = sourcePortOf(lab.sendL2tp('b'));
  assert.ok(isTranslated(port), `${port}`);
  return port;
}

describe('two clients behind one NAT', () => {
  test('each gets the answers of its own conversations, at its own ports', () => {
    const { sendTcp, answerTcp, steering } = twoClients();
    assert.deepEqual([sendTcp('a', 1_025), sendTcp('b', 1_026), sendTcp('a', 1_027)], [1, 1, 1]);
    assert.deepEqual(answerTcp(1_025), [1, 0]);
    assert.deepEqual(answerTcp(1_026), [0, 1]);
    assert.deepEqual(answerTcp(1_027), [1, 0]);
    assert.equal(steering.length, 0);
  });

  test('of two with the same ports, the second appears at another and gets its answers from there', () => {
    const lab = twoClients();
    const { sendL2tp, answerL2tp, random } = lab;
    const port = bothSpoke(lab);
    for (let round = 0; round < 3; round++) {
      const data = random.bytes(50 + round);
      const [ofA, ofB] = [sendL2tp('a', data), sendL2tp('b', data)];
      assert.ok(ofA && ofB);
      assert.deepEqual([sourcePortOf(ofA), sourcePortOf(ofB)], [l2tp, port]);
      for (const packet of [ofA, ofB]) {
        assert.ok(hasGoodHeaderChecksum(packet));
        assert.ok(hasGoodTransportChecksum(packet));
        assert.deepEqual(packet.subarray(28), data);
      }
      const toA = answerL2tp(l2tp);
      assert.deepEqual([toA.a.length, toA.b.length], [1, 0]);
      const toB = answerL2tp(port);
      assert.deepEqual([toB.a.length, toB.b.length], [0, 1]);
      const [back] = toB.b;
      assert.ok(back && hasGoodTransportChecksum(back));
      assert.equal(readU16(back, 22), l2tp, 'the port of its own');
    }
    assert.equal(lab.steering.length, 1);
    assert.equal(lab.clear.length, 0);
    const statistics = lab.server.engine.pairStatistics();
    const of = (id: string) => statistics.find(({ pairId }) => pairId === id)?.translatedPorts;
    assert.equal(of('pair-a'), undefined);
    assert.deepEqual(of('pair-b'), [
      { protocol: 17, client: own.b, port: l2tp, appearsAs: { address: outside, port } },
    ]);
  });

  test('TCP too; UDP without a checksum stays so', () => {
    const lab = twoClients();
    const tcpFrom = (name: Name) =>
      lab.send(
        name,
        tcpPacket({ source: own[name], destination: here, sourcePort: 445, data: lab.random.bytes(9) }),
      )[0];
    assert.equal(sourcePortOf(tcpFrom('a')), 445);
    const second = tcpFrom('b');
    assert.ok(second && isTranslated(sourcePortOf(second)) && hasGoodTransportChecksum(second));
    bothSpoke(lab);
    const unchecked = l2tpFrom(own.b, l2tp, lab.random.bytes(5));
    writeU16(unchecked, 26, 0);
    const [received] = lab.send('b', unchecked);
    assert.ok(received && isTranslated(sourcePortOf(received)));
    assert.equal(readU16(received, 26), 0);
  });

  test('answers in fragments are put together first', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    const whole = l2tpTo(port, lab.random.bytes(64));
    const cut = (from: number, to: number, more: boolean) =>
      ipPacket(
        { source: here, destination: outside, header: { moreFragments: more, fragmentOffset: from } },
        ipProtocol.udp,
        whole.subarray(20 + from, 20 + to),
      );
    assert.deepEqual(lab.answer(cut(0, 40, true)).b, []);
    const { a, b } = lab.answer(cut(40, 72, false));
    assert.equal(a.length, 0);
    assert.ok(b[0] && hasGoodTransportChecksum(b[0]));
    assert.equal(readU16(b[0], 22), l2tp);
  });

  test('echo requests of the same id are told apart', () => {
    const lab = twoClients();
    const idSeen = (name: Name) => {
      const [request] = lab.send(name, echo(own[name], here, 8, 7));
      assert.ok(request && hasGoodIcmpChecksum(request));
      return readU16(request, 24);
    };
    assert.equal(idSeen('a'), 7);
    const id = idSeen('b');
    assert.ok(isTranslated(id));
    assert.equal(lab.answer(echo(here, outside, 0, 7)).a.length, 1);
    const [reply] = lab.answer(echo(here, outside, 0, id)).b;
    assert.ok(reply && hasGoodIcmpChecksum(reply));
    assert.equal(readU16(reply, 24), 7);
    assert.equal(lab.steering.length, 0, 'no filter knows ids');
    // What the server asks is another conversation.
    assert.equal(lab.answer(echo(here, outside, 8, 7)).b.length, 1, 'to whom was heard last');
    assert.equal(lab.send('b', echo(own.b, here, 0, 7)).length, 1);
  });

  test('ICMP errors quote what their receiver knows', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    const [answered] = lab.answerL2tp(port).b;
    assert.ok(answered);
    const [error] = lab.send('b', unreachable(own.b, here, answered));
    assert.ok(error && hasGoodIcmpChecksum(error));
    assert.deepEqual(
      [ipv4FromNumber(decodeIpv4(l2tpTo(port)).destination), port],
      [quoted(error).destination, quoted(error).destinationPort],
    );
    assert.equal(checksumOf(error, 28, 48), 0, 'the quoted header’s');
    const seen = lab.sendL2tp('b');
    assert.ok(seen);
    const { a, b } = lab.answer(unreachable(here, outside, seen));
    assert.equal(a.length, 0);
    const [back] = b;
    assert.ok(back && hasGoodIcmpChecksum(back));
    assert.deepEqual([quoted(back).source, quoted(back).sourcePort], [own.b, l2tp]);
    assert.equal(checksumOf(back, 28, 48), 0);
  });

  test('one cannot report errors of the other’s conversation', () => {
    const lab = twoClients();
    assert.equal(lab.sendTcp('a', 1_025), 1);
    const about = tcpPacket({ source: here, destination: own.b, sourcePort: 80, destinationPort: 1_025 });
    assert.equal(lab.send('b', unreachable(own.b, here, about)).length, 0);
    assert.equal(lab.send('a', unreachable(own.a, here, about)).length, 1);
  });

  test('"too big" quotes the packet as this host sent it', () => {
    const lab = twoClients();
    const tcp = (name: Name) =>
      lab.send(name, tcpPacket({ source: own[name], destination: here, sourcePort: 445 }))[0];
    tcp('a');
    const port = sourcePortOf(tcp('b'));
    lab.server.send(
      tcpPacket({
        ...{ source: here, destination: outside, sourcePort: 80, destinationPort: port },
        ...{ data: new Uint8Array(1_450), header: { dontFragment: true } },
      }),
    );
    const [message] = lab.server.received();
    assert.ok(message);
    assert.equal(quoted(message).destinationPort, port);
  });

  test('the first may die: the second stays where it is', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    lab.server.engine.removePair('pair-a' as PairId);
    assert.equal(sourcePortOf(lab.sendL2tp('b')), port);
    assert.equal(lab.answerL2tp(port).b.length, 1);
    assert.equal(lab.answerL2tp(l2tp).b.length, 0, 'it never was at that port');
  });

  test('the second may die: late answers are dropped, and it finds its port again', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    lab.server.engine.removePair('pair-b' as PairId);
    assert.deepEqual(lab.answerL2tp(port), { a: [], b: [] });
    assert.equal(lab.server.engine.dropHistory().recent.at(-1)?.reason, 'client-gone');
    assert.equal(lab.clear.length, 0);
    lab.pair('b', 'pair-b2');
    assert.equal(sourcePortOf(lab.sendL2tp('b')), port);
    assert.equal(lab.answerL2tp(port).b.length, 1);
    assert.equal(lab.steering.length, 1);
  });

  test('silence frees the ports of the first; the second stays where it is', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    lab.clock.nowMs += 120_000;
    assert.equal(sourcePortOf(lab.sendL2tp('b')), port);
    assert.equal(lab.sendTcp('a', 1_025), 1);
    assert.equal(lab.sendTcp('b', 1_026), 1);
    lab.clock.nowMs += 120_000;
    assert.equal(lab.sendTcp('b', 1_025), 1);
    assert.deepEqual(lab.answerTcp(1_025), [0, 1]);
  });

  test('it outlives rekeying and new mappings of the NAT, even exchanged ones', () => {
    const lab = twoClients();
    const port = bothSpoke(lab);
    for (const name of ['a', 'b'] as const) {
      lab.pair(name, `pair-${name}2`);
      lab.server.engine.removePair(`pair-${name}` as PairId);
    }
    assert.equal(lab.answerL2tp(port).b.length, 1, 'rekeyed');
    assert.equal(lab.answerL2tp(l2tp).a.length, 1, 'rekeyed');
    lab.nats.a.rebind();
    lab.nats.b.rebind();
    assert.equal(sourcePortOf(lab.sendL2tp('b')), port, 'from another port of the NAT');
    assert.equal(sourcePortOf(lab.sendL2tp('a')), l2tp);
    assert.equal(lab.answerL2tp(port).b.length, 1, 'moved');
    assert.equal(lab.answerL2tp(l2tp).a.length, 1, 'moved');
    // Each gets the mapping that the other had.
    [lab.nats.a, lab.nats.b] = [
      new MemoryNat(own.a, outside, outsidePort.b + 1),
      new MemoryNat(own.b, outside, outsidePort.a + 1),
    ];
    assert.equal(sourcePortOf(lab.sendL2tp('a')), l2tp);
    assert.equal(sourcePortOf(lab.sendL2tp('b')), port);
    assert.equal(lab.answerL2tp(port).b.length, 1, 'exchanged');
    assert.equal(lab.answerL2tp(l2tp).a.length, 1, 'exchanged');
    assert.equal(lab.steering.length, 1);
  });

  test('what the server begins goes to whom it heard last', () => {
    const lab = twoClients();
    lab.sendTcp('a', 1_025);
    assert.deepEqual(lab.answerTcp(5_000), [1, 0]);
    lab.sendTcp('b', 1_025);
    assert.deepEqual(lab.answerTcp(5_001), [0, 1]);
    assert.deepEqual(lab.answerTcp(5_000), [1, 0], 'and stays with it');
  });
});

describe('under filters', () => {
  /** The server's policy: L2TP between its port and that of anybody. */
  const between = (sourcePort: number, destinationPort: number): Selector => ({
    ...hostSelector(here, outside),
    ...{ protocol: ipProtocol.udp, sourcePort, destinationPort },
  });
  const l2tpFilters = [
    filter({ id: 'out', selector: between(l2tp, l2tp) }),
    filter({
      ...{ id: 'in', direction: 'inbound' },
      selector: { ...between(l2tp, l2tp), source: hostRange(outside), destination: hostRange(here) },
    }),
  ];

  function withFilters(options = {}) {
    const lab = twoClients(options);
    lab.server.engine.setFilters(l2tpFilters, lab.clock.nowMs);
    for (const name of ['a', 'b'] as const) {
      lab.pair(name, `filtered-${name}`, 'out' as FilterId);
      lab.server.engine.removePair(`pair-${name}` as PairId);
    }
    return lab;
  }

  test('answers are secured although the filter names the port that the client has itself', () => {
    const lab = withFilters();
    const port = bothSpoke(lab);
    assert.equal(lab.answerL2tp(port).b.length, 1);
    assert.equal(lab.answerL2tp(l2tp).a.length, 1);
    // From another port of this host the policy would not protect it; to that port it still must not go in clear.
    const stray = { source: here, destination: outside, sourcePort: 9_999, destinationPort: port };
    assert.deepEqual(lab.answer(udpPacket(stray)), { a: [], b: [] });
    assert.equal(lab.clear.length, 0);
    assert.deepEqual(lab.server.engine.steeredPorts(), [{ peer: outside, protocol: 17, port }]);
  });

  test('clear packets from the port are not taken for the client’s', () => {
    const lab = withFilters();
    const port = bothSpoke(lab);
    lab.server.engine.processInboundClear(
      [l2tpFrom(outside, port), l2tpFrom(outside, l2tp)],
      lab.clock.nowMs,
    );
    assert.deepEqual(lab.server.received(), []);
    assert.equal(lab.server.engine.statistics().drops['clear-but-secured'], 2);
  });

  test('the first packets wait until the way back is safe', () => {
    const lab = withFilters({ manual: true });
    assert.equal(sourcePortOf(lab.sendL2tp('a')), l2tp);
    assert.equal(lab.sendL2tp('b'), undefined);
    assert.equal(lab.sendL2tp('b'), undefined);
    assert.equal(lab.steering.length, 1);
    lab.steering[0]?.done(true);
    const late = lab.server.received();
    assert.equal(late.length, 2);
    assert.ok(late.every(packet => hasGoodTransportChecksum(packet)));
    assert.equal(sourcePortOf(late[0]), lab.steering[0]?.port.port);
    assert.equal(sourcePortOf(lab.sendL2tp('b')), sourcePortOf(late[0]));
  });

  test('where it cannot be made safe nothing is delivered, and it is tried again', () => {
    const lab = withFilters({ manual: true });
    lab.sendL2tp('a');
    lab.sendL2tp('b');
    lab.steering[0]?.done(false);
    assert.deepEqual(lab.server.received(), []);
    for (let i = 0; i < 20; i++) lab.sendL2tp('b');
    assert.equal(lab.steering.length, 2);
    assert.match(lab.server.engine.dropHistory().recent.at(-1)?.note ?? '', /too many packets wait/);
    lab.steering[1]?.done(true);
    assert.equal(lab.server.received().length, 16);
  });

  test('with the filter its ports are forgotten', () => {
    const lab = withFilters();
    const port = bothSpoke(lab);
    lab.server.engine.setFilters(l2tpFilters, lab.clock.nowMs);
    assert.equal(lab.server.engine.steeredPorts().length, 1);
    assert.equal(lab.answerL2tp(port).b.length, 1, 'still');
    lab.server.engine.setFilters([], lab.clock.nowMs);
    assert.equal(lab.server.engine.steeredPorts().length, 0);
  });
});

/** The packet that an ICMP error quotes. */
function quoted(error: Uint8Array) {
  const packet = error.subarray(28);
  return {
    source: ipv4FromNumber(readU32At(packet, 12)),
    destination: ipv4FromNumber(readU32At(packet, 16)),
    sourcePort: readU16(packet, 20),
    destinationPort: readU16(packet, 22),
  };
}

function readU32At(packet: Uint8Array, at: number): number {
  return readU16(packet, at) * 0x1_0000 + readU16(packet, at + 2);
}
