import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SaPair } from '../../../src/driver/api.js';
import { checkPair } from '../../../src/driver/usable-pair.js';
import { expiryCause } from '../../../src/driver/xfrm/events.js';
import { PairRecord } from '../../../src/driver/xfrm/pair-book.js';
import { statesOf } from '../../../src/driver/xfrm/states.js';
import { addBytes, dropsSince, noBytes, pairStatisticsOf } from '../../../src/driver/xfrm/statistics.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { insides, one, other } from '../../support/driver-suite.js';
import { type StaticConnection, staticEnds } from '../../support/static-pair.js';

function pairOf(connection: Partial<StaticConnection>, changed: Partial<SaPair> = {}): SaPair {
  const ends = staticEnds({ name: 'x', one, other, mode: 'transport', ...connection }, 1);
  return { ...ends.one.pair, ...changed };
}

const states = (pair: SaPair, direction: 'inbound' | 'outbound') =>
  statesOf(new PairRecord(pair, 99, 0), direction);

describe('pairs as states', () => {
  test('a bundle in tunnel mode: only its innermost SA is in it, and carries what was negotiated', () => {
    const pair = pairOf({
      mode: 'tunnel',
      selector: insides,
      esp: { encryption: '3des' },
      ah: { hash: 'sha256' },
    });
    const [esp, ah] = states(pair, 'outbound');
    assert.deepEqual(
      [esp?.id.protocol, esp?.mode, ah?.id.protocol, ah?.mode],
      [50, 'tunnel', 51, 'transport'],
    );
    assert.deepEqual(esp?.selector.destination, { address: '10.72.0.0', length: 24 });
    assert.equal(ah?.selector.destination.length, 0);
    assert.deepEqual([esp?.encryption?.name, esp?.authentication], ['cbc(des3_ede)', undefined]);
    assert.deepEqual([ah?.authentication?.name, ah?.authentication?.icvBits], ['hmac(sha256)', 128]);
    assert.deepEqual([esp?.flags, ah?.flags], [0, 64]);
    const inbound = states(pair, 'inbound').map(({ flags }) => flags);
    assert.deepEqual(inbound, [16, 64], 'it lets ICMP errors in by what they quote');
  });

  test('inbound is the other way round', () => {
    const [state] = states(pairOf({ esp: { encryption: 'aes128gcm' } }), 'inbound');
    assert.deepEqual([state?.source, state?.id.destination], [other, one]);
    assert.deepEqual(state?.selector.source, { address: other, length: 32 });
    assert.deepEqual([state?.combined?.name, state?.combined?.key.length], ['rfc4106(gcm(aes))', 20]);
    assert.deepEqual(state?.replay, { window: 64, outbound: 0, inbound: 0, bitmap: [0, 0] });
  });

  test('numbers that nobody has authenticated are not looked at', () => {
    const [plain] = states(pairOf({ esp: { encryption: 'aes128' } }), 'inbound');
    assert.equal(plain?.replay?.window, 0);
    const [bundled] = states(pairOf({ esp: { encryption: 'aes128' }, ah: { hash: 'sha1' } }), 'inbound');
    assert.equal(bundled?.replay?.window, 64);
  });

  test('extended sequence numbers: a flag, a window in both directions, no limit of packets, and where they stand', () => {
    const pair = pairOf({ esp: { encryption: 'aes128' }, ah: { hash: 'sha1' } }, { extendedSequence: true });
    const used = { ...pair, outbound: pair.outbound.map(half => ({ ...half, sequence: 2 ** 32 + 5 })) };
    for (const direction of ['inbound', 'outbound'] as const) {
      const [esp, ah] = states(used, direction);
      assert.deepEqual([esp?.flags, ah?.flags], [128, 128 + 64]);
      assert.deepEqual([esp?.replay?.window, ah?.replay?.bitmap], [64, [0, 0]]);
      assert.equal(esp?.limits.softPackets, Number.POSITIVE_INFINITY);
    }
    assert.equal(states(used, 'outbound')[0]?.replay?.outbound, 2 ** 32 + 5);
    assert.throws(
      () => checkPair(pairOf({ esp: { encryption: 'aes128' } }, { extendedSequence: true })),
      /without integrity/,
    );
  });

  test('an ICV that the peer cuts shorter', () => {
    const pair = pairOf({ esp: { encryption: 'aes128', hash: 'sha256' } });
    const cut = { ...pair, inbound: pair.inbound.map(half => ({ ...half, icvBytes: 12 })) };
    assert.equal(states(cut, 'inbound')[0]?.authentication?.icvBits, 96);
  });

  test('UDP encapsulation has the ports of its direction, and follows the peer', () => {
    const pair = pairOf(
      { esp: { encryption: '3des', hash: 'md5' } },
      { udpEncapsulation: { localPort: 4500, peerPort: 1024 } },
    );
    assert.deepEqual(states(pair, 'outbound')[0]?.encapsulation, { sourcePort: 4500, destinationPort: 1024 });
    const record = new PairRecord(pair, 99, 0);
    record.peer = { address: other, port: 2048 };
    assert.deepEqual(statesOf(record, 'inbound')[0]?.encapsulation, {
      sourcePort: 2048,
      destinationPort: 4500,
    });
  });

  test("lifetimes in the kernel's units; 0 is none", () => {
    const lifetime = { softSeconds: 10, hardSeconds: 20, softKilobytes: 0, hardKilobytes: 3 };
    const limits = states(pairOf({ esp: { encryption: '3des', hash: 'md5' } }, { lifetime }), 'outbound')[0]
      ?.limits;
    assert.deepEqual(
      [limits?.softSeconds, limits?.hardSeconds, limits?.softBytes, limits?.hardBytes],
      [10, 20, Number.POSITIVE_INFINITY, 3072],
    );
  });

  test('pairs that must not be used are refused with a reason', () => {
    const refused = (pair: SaPair, text: RegExp) =>
      assert.throws(
        () => checkPair(pair),
        (error: unknown) => error instanceof IpseckitError && text.test(error.message),
      );
    refused(
      pairOf({ ah: { hash: 'sha1' } }, { udpEncapsulation: { localPort: 4500, peerPort: 4500 } }),
      /AH in UDP/,
    );
    refused(pairOf({ esp: { encryption: 'null' } }), /neither encrypts nor authenticates/);
    const pair = pairOf({ ah: { hash: 'sha1' } });
    refused(
      { ...pair, inbound: pair.inbound.map(half => ({ ...half, integrityKey: new Uint8Array(3) })) },
      /key of 3 bytes/,
    );
    refused({ ...pair, outbound: [] }, /without ESP and AH/);
  });
});

describe('what the kernel counts', () => {
  const pair = pairOf({ mode: 'tunnel', selector: insides, esp: { encryption: '3des', hash: 'sha1' } });
  const record = new PairRecord(pair, 99, 0);
  const report = (direction: 'inbound' | 'outbound', packets: number) => {
    const [state] = states(pair, direction);
    assert.ok(state !== undefined);
    const usage = { bytes: packets * 100, packets, addedAtSeconds: 1, usedAtSeconds: 2 };
    return { ...state, usage, replayed: 3, integrityFailed: 0, lastUsedAtSeconds: 7 };
  };

  test('as statistics of the pair', () => {
    const statistics = pairStatisticsOf(record, [report('inbound', 5), report('outbound', 0)]);
    assert.deepEqual(statistics, {
      pairId: pair.id,
      bytesSent: 0,
      bytesReceived: 500,
      packetsSent: 0,
      packetsReceived: 5,
      lastInboundAtMs: 7000,
      outboundActive: false,
      drops: { replay: 3 },
    });
    const bytes = addBytes(noBytes, pair, statistics);
    assert.deepEqual(
      [
        bytes.confidentialBytesReceived,
        bytes.authenticatedBytesReceived,
        bytes.tunnelBytesReceived,
        bytes.transportBytesReceived,
      ],
      [500, 500, 500, 0],
    );
  });

  test('as drops since the start', () => {
    const before = new Map([['XfrmInTmplMismatch', 2]]);
    const now = new Map([
      ['XfrmInTmplMismatch', 5],
      ['XfrmInNoStates', 1],
      ['XfrmOutPolBlock', 4],
      ['XfrmInPolBlock', 1],
    ]);
    const drops = dropsSince(before, now);
    assert.deepEqual([drops['clear-but-secured'], drops['bad-spi'], drops.blocked], [3, 1, 5]);
  });

  test('which limit was reached', () => {
    const state = report('outbound', 30);
    const limits = { ...state.limits, softBytes: 3000, hardBytes: 4000 };
    assert.equal(expiryCause({ ...state, limits }, false), 'kilobytes');
    assert.equal(expiryCause({ ...state, limits }, true), 'seconds');
    assert.equal(expiryCause({ ...state, limits: { ...state.limits, softPackets: 30 } }, false), 'sequence');
  });
});
