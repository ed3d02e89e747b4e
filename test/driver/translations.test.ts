import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Conversations } from '../../src/driver/conversations.js';
import type { NatClient } from '../../src/driver/nat-client.js';
import type { Ipv4Flow } from '../../src/driver/packet-selector.js';
import { type IsPortInUse, Translations, translatedPorts } from '../../src/driver/translations.js';
import { ipAddress } from '../../src/wire/ip/address.js';

const peer = 0xc000_0201;
const udp = 17;
const portCount = translatedPorts.last - translatedPorts.first + 1;
const hour = 3_600_000;

function lab({ isInUse = () => false, start = 0 }: { isInUse?: IsPortInUse; start?: number } = {}) {
  const translations = new Translations(start, isInUse);
  const conversations = new Conversations(peer, translations);
  const client = (port: number): NatClient => ({
    endpoint: { address: ipAddress('192.0.2.1'), port },
    ownAddress: undefined,
    ...{ conversations, translations: new Map(), pairs: 1 },
  });
  const hear = (who: NatClient, port: number, nowMs: number, localPort = 1_701) =>
    conversations.heard(flow(localPort, port), who, nowMs);
  /** The port that the client appears at. */
  const portOf = (who: NatClient, port: number, nowMs: number) => {
    const hearing = hear(who, port, nowMs);
    if (hearing === 'kept') return port;
    return 'refusedFor' in hearing ? 'refused' : hearing.appearsAs;
  };
  return { translations, conversations, client, hear, portOf };
}

function flow(sourcePort: number, destinationPort: number): Ipv4Flow {
  return { family: 4, source: 1, destination: peer, protocol: udp, sourcePort, destinationPort };
}

describe('translated ports', () => {
  test('are the same towards all ports of this host', () => {
    const { client, hear, portOf } = lab();
    const [a, b] = [client(1), client(2)];
    assert.equal(portOf(a, 1_701, 0), 1_701);
    const port = portOf(b, 1_701, 0);
    assert.equal(port, translatedPorts.first);
    const elsewhere = hear(b, 1_701, 0, 9_000);
    assert.ok(typeof elsewhere === 'object' && 'appearsAs' in elsewhere);
    assert.equal(elsewhere.appearsAs, port);
  });

  test('are none that clients use themselves, or that this host talks to', () => {
    const first = translatedPorts.first;
    const { client, portOf } = lab({ isInUse: (_, __, port) => port === first + 2 });
    const [a, b] = [client(1), client(2)];
    portOf(a, 1_701, 0);
    assert.equal(portOf(a, first, 0), first);
    assert.equal(portOf(a, first + 1, 0), first + 1);
    assert.equal(portOf(b, 1_701, 0), first + 3);
    // Nor can anybody come from a port that stands for another.
    assert.equal(portOf(a, first + 3, 0), first + 4);
    assert.equal(portOf(b, first + 3, 0), first + 5);
  });

  test('begin where they are told to, and go round', () => {
    const { client, portOf } = lab({ start: 7 * portCount + portCount - 1 });
    const clients = [1, 2, 3].map(client);
    assert.deepEqual(
      clients.map(one => portOf(one, 1_701, 0)),
      [1_701, translatedPorts.last, translatedPorts.first],
    );
  });

  test('run out: then nobody gets one until one has been quiet for two minutes', () => {
    const { client, portOf, translations } = lab();
    portOf(client(1), 1_701, 0);
    const others = Array.from({ length: portCount }, (_, i) => client(2 + i));
    const given = new Set(others.map((one, i) => portOf(one, 1_701, i)));
    assert.equal(given.size, portCount);
    const late = client(9_999);
    assert.equal(portOf(late, 1_701, 100_000), 'refused');
    const [first, second] = others;
    assert.ok(first && second);
    assert.equal(portOf(first, 1_701, 119_000), translatedPorts.first, 'still in use');
    // The first conversation itself is idle by now: heard again it is not.
    assert.equal(portOf(client(1), 1_701, 119_000), 'refused');
    assert.equal(portOf(late, 1_701, 119_999 + 2), 1_701, 'the untranslated one was idle');
    assert.equal(portOf(client(8_888), 1_701, 120_002), translatedPorts.first + 1);
    assert.equal(translations.size, portCount);
    assert.equal(translations.of(second, udp, 1_701), undefined);
  });

  test('quiet for an hour, one is given away before a fresh one is taken', () => {
    const { client, portOf, translations } = lab();
    const [a, b, c] = [client(1), client(2), client(3)];
    portOf(a, 1_701, 0);
    const port = portOf(b, 1_701, 0);
    portOf(a, 1_701, hour);
    assert.equal(portOf(c, 1_701, hour), port);
    assert.equal(translations.size, 1);
    assert.notEqual(portOf(b, 1_701, hour), port);
  });
});

describe('conversations', () => {
  test('of a client with very many leave the others’ alone', () => {
    const { client, portOf, conversations } = lab();
    const [a, b] = [client(1), client(2)];
    portOf(a, 1_701, 0);
    for (let port = 1; port <= 5_000; port++) portOf(b, port === 1_701 ? 5_001 : port, 1_000);
    assert.equal(conversations.ownerOf(flow(1_701, 1_701)), a);
  });
});
