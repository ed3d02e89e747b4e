import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PairId, PairStatistics, SaPair } from '../../../src/driver/api.js';
import { refuseOtherClient } from '../../../src/driver/xfrm/nat-clients.js';
import { PairRecord } from '../../../src/driver/xfrm/pair-book.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { insides, one, other, selector } from '../../support/driver-suite.js';
import { staticEnds } from '../../support/static-pair.js';

const connection = {
  name: 'x',
  one,
  other,
  mode: 'transport',
  esp: { encryption: '3des', hash: 'sha1' },
  udpEncapsulation: true,
} as const;

function client(peerPort: number, changed: Partial<SaPair> = {}): SaPair {
  const { pair } = staticEnds(connection, peerPort).one;
  return {
    ...pair,
    id: `${peerPort}` as PairId,
    udpEncapsulation: { localPort: 4500, peerPort },
    ...changed,
  };
}

const used = (lastInboundAtMs: number) => (): PairStatistics => ({
  ...{ pairId: 'x' as PairId, bytesSent: 0, bytesReceived: 0, packetsSent: 0, packetsReceived: 1 },
  ...{ outboundActive: true, drops: {}, lastInboundAtMs },
});
const now = used(Date.now());
const longAgo = used(1);

test('a second client behind one NAT is refused by name while the first one lives', () => {
  const first = new PairRecord(client(61_000), 1, Number.NEGATIVE_INFINITY);
  const refuse = (pair: SaPair, statistics = now) => refuseOtherClient(pair, [first], statistics);
  assert.throws(() => refuse(client(62_000)), {
    code: 'UNSUPPORTED',
    message: /second client behind the NAT at .*62000.*61000/,
    next: /--driver userspace/,
  });
  refuse(client(62_000), longAgo);
  const known = { natOriginal: { peer: ipAddress('192.168.1.5') } };
  refuseOtherClient(client(62_000, known), [new PairRecord(client(61_000, known), 1, 0)], now);
  refuse(client(61_000));
  first.peer = { ...first.peer, port: 62_000 };
  refuse(client(62_000));
});

test('clients whose traffic differs, or is in a tunnel, are not', () => {
  const l2tp = (peerPort: number, port: number) =>
    client(peerPort, {
      selector: selector(one, other, { protocol: 17, sourcePort: 1701, destinationPort: port }),
    });
  const first = new PairRecord(l2tp(61_000, 1701), 1, 0);
  refuseOtherClient(l2tp(62_000, 40_000), [first], now);
  assert.throws(() => refuseOtherClient(l2tp(62_000, 1701), [first], now), { code: 'UNSUPPORTED' });
  const tunnel = { mode: 'tunnel', selector: insides } as const;
  refuseOtherClient(client(62_000, tunnel), [new PairRecord(client(61_000, tunnel), 1, 0)], now);
});
