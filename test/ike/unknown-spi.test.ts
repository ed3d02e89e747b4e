import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { IkeDatagram, PairId, Spi } from '../../src/driver/api.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { encodeMessage } from '../../src/wire/isakmp/message.js';
import { dois, exchangeTypes, notifyTypes, protocols } from '../../src/wire/isakmp/numbers.js';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { type Host, type HostOptions, keysMatch, type Simulation, twoHosts } from './harness.js';

const fit = (a: Host, b: Host) => a.current && b.current && keysMatch(a.current, b.current);
const said = (host: Host) =>
  host.steps.filter(({ direction, detail }) => direction === 'sent' && detail.includes('INVALID-SPI'));

/** Two hosts with a pair of some age that only `a` still has: the message that ended it at `b` was lost. */
function halfLost(options: { readonly ageMs?: number; readonly unknownVendor?: boolean } = {}) {
  const { net, a, b } = twoHosts(1);
  const hide = (datagram: IkeDatagram) => {
    const isSa = datagram.bytes[16] === 1;
    const hidden = toHex(datagram.bytes).replace(toHex(vendorIds.ipseckit.bytes), '00'.repeat(16));
    return isSa && options.unknownVendor ? { ...datagram, bytes: fromHex(hidden) } : datagram;
  };
  net.translate = hide;
  net.acquire(a);
  assert.ok(net.run(5_000, () => fit(a, b) === true));
  net.run(options.ageMs ?? 20_000);
  const [old, lost] = [a.current, b.current];
  const spi = old?.outbound[0]?.spi;
  assert.ok(old && lost && spi);
  net.translate = () => undefined;
  net.apply(b, b.engine.closePair(lost.id, net.nowMs, 'a test'));
  net.run(100);
  net.translate = hide;
  return { net, a, b, old, spi };
}

/** A packet that came with this SPI. */
function packet(net: Simulation, to: Host, from: Host, spi: Spi): void {
  const ends = { local: { address: to.address, port: 500 }, peer: { address: from.address, port: 500 } };
  net.apply(to, to.engine.unknownSpi({ protocol: 'esp', spi, ...ends }, net.nowMs));
}

/** The host is started anew and knows nothing. */
function restart(net: Simulation, old: Host, settings: HostOptions = {}): Host {
  net.hosts.splice(net.hosts.indexOf(old), 1);
  return net.addHost(old.address, old.peer, settings);
}

describe('a packet for an SA that is not there', () => {
  test('is told under the main mode, a few times a second, and the pair is negotiated anew', () => {
    const { net, a, b, old, spi } = halfLost();
    net.run(10_000);
    for (let i = 0; i < 100; i++) packet(net, b, a, spi);
    assert.equal(said(b).length, 5);
    assert.ok(net.run(2_000, () => a.current !== old && fit(a, b) === true));
    assert.equal(a.engine.mainModes().length, 1);
    net.run(60_000);
    assert.equal(a.pairs.size, 1, 'one negotiation, however often it was told');
  });

  test('is not told while packets of a pair that has ended are under way', () => {
    const { net, a, b, spi } = halfLost();
    packet(net, b, a, spi);
    assert.equal(said(b).length, 0);
  });

  test('is not told under a main mode to a peer that would not renew anything', () => {
    const { net, a, b, spi } = halfLost({ unknownVendor: true });
    net.run(10_000);
    packet(net, b, a, spi);
    assert.equal(said(b).length, 0);
  });

  test('by a host that was started anew: it is told in clear, and all is negotiated anew', () => {
    const { net, a, b, old, spi } = halfLost({ ageMs: 40_000 });
    const again = restart(net, b);
    packet(net, again, a, spi);
    assert.equal(said(again).length, 1);
    assert.deepEqual([...a.pairs.keys()], [old.id], 'nothing is deleted because of it');
    assert.ok(net.run(10_000, () => a.current !== old && fit(a, again) === true));
  });

  test('from a stranger is not told', () => {
    const { net, a, b, spi } = halfLost();
    const again = restart(net, b, { mainMode: undefined });
    packet(net, again, a, spi);
    assert.equal(again.sent.length, 0);
  });

  test('told in clear of an SPI of nobody, or of a young pair, or encrypted with nothing: it changes nothing', () => {
    const { net, a, b, old, spi } = halfLost({ ageMs: 10_000 });
    const message = (value: number, flags = 0) =>
      encodeMessage(
        {
          initiatorCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
          responderCookie: new Uint8Array(8),
          exchangeType: exchangeTypes.Informational,
          flags,
          messageId: 0,
        },
        [
          {
            kind: 'notify',
            doi: dois.IPSEC,
            protocol: protocols.ESP,
            notifyType: notifyTypes['INVALID-SPI'],
            spi: fromHex(value.toString(16).padStart(8, '0')),
            data: new Uint8Array(0),
          },
        ],
      );
    const sent = a.sent.length;
    for (const bytes of [message(spi), message(spi ^ 1), message(3), message(spi, 1)])
      net.deliver({
        local: { address: b.address, port: 500 },
        peer: { address: a.address, port: 500 },
        bytes,
      });
    net.run(1_000);
    assert.equal(a.sent.length, sent);
    const pairIds: PairId[] = [...a.pairs.keys()];
    assert.deepEqual(pairIds, [old.id]);
  });
});
