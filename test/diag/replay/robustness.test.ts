/** Whatever the capture: a report in bounded time and memory, or a `WireError`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { noCredentials } from '../../../src/crypto/certificates/credentials.js';
import { Secret } from '../../../src/crypto/secret.js';
import { type ReplayKnowledge, replay } from '../../../src/diag/replay/replay.js';
import { renderReplay } from '../../../src/diag/replay/text.js';
import { WireError } from '../../../src/wire/bytes.js';
import { linkTypes } from '../../../src/wire/captured-packet.js';
import { readCapture } from '../../../src/wire/pcap.js';
import { pcapFile } from '../../support/captures.js';
import { ipPacket, udpPacket } from '../../support/packets.js';
import { SeededRandom } from '../../support/random.js';
import { recordedPsk, recording } from '../../support/recordings.js';

const names = ['aggressive-psk', 'aggressive-certificates', 'certificates', 'xauth', 'main-psk-differs'];

describe('damaged captures', () => {
  const recordings = names.map(recording);
  const judging = { credentials: noCredentials };
  const survive = (bytes: Uint8Array, keys: ReplayKnowledge['keys'] = new Map()) => {
    try {
      const report = replay(bytes, { keys, presharedKey: new Secret(recordedPsk), judging });
      renderReplay(report, true);
      return JSON.stringify(report).length;
    } catch (error) {
      assert.ok(error instanceof WireError, error instanceof Error ? error.stack : String(error));
      return 0;
    }
  };

  test('cut at every length', () => {
    for (const { file, keys } of recordings)
      for (let length = 0; length < file.length; length += 29) survive(file.subarray(0, length), keys);
  });

  const seed = Number(process.env.REPLAY_SEED ?? Date.now() % 1_000_000);
  test(`bytes changed, packets dropped, repeated and mixed: REPLAY_SEED=${seed}`, () => {
    const random = new SeededRandom(seed);
    for (let round = 0; round < 300; round++) {
      const { file, keys } = random.pick(recordings);
      const other = random.chance(0.2) ? random.pick(recordings).file : new Uint8Array();
      const packets = [...readCapture(file), ...(other.length > 0 ? readCapture(other) : [])].flatMap(
        ({ bytes }) => {
          if (random.chance(0.1)) return [];
          const copy = Uint8Array.from(bytes);
          for (let i = random.chance(0.5) ? random.between(1, 6) : 0; i > 0; i--)
            copy[random.int(copy.length)] = random.int(256);
          return random.chance(0.1) ? [copy, bytes] : [copy];
        },
      );
      const mixed = pcapFile(packets, linkTypes.ETHERNET);
      if (random.chance(0.3)) mixed[random.int(mixed.length)] = random.int(256);
      survive(mixed, keys);
    }
  });

  test('times that no calendar has', () => {
    const file = Uint8Array.from(recording('xauth').file);
    const view = new DataView(file.buffer);
    view.setUint32(24, 0xffff_ffff, true);
    assert.ok(survive(file) > 0);
  });
});

// Seconds each; what looks at every packet for every other one takes hours.
describe('huge captures', { timeout: 600_000 }, () => {
  const [ethernetBytes, udpBytes] = [14, 28];
  const [first] = [...readCapture(recording('xauth').file)];
  assert.ok(first);
  const data = first.bytes.slice(ethernetBytes + udpBytes);
  const template = udpPacket({
    ...{ source: '192.0.2.1', destination: '192.0.2.2', sourcePort: 500, destinationPort: 500, data },
  });
  /** The first message with other fields; `change` counts from the IKE header. */
  const ike = (change: (view: DataView) => void) => {
    const packet = template.slice();
    change(new DataView(packet.buffer, udpBytes));
    return packet;
  };
  const many = (packet: (i: number) => Uint8Array) =>
    pcapFile(
      Array.from({ length: 100_000 }, (_, i) => packet(i)),
      linkTypes.RAW,
    );
  const bounded = (file: Uint8Array) => {
    const report = replay(file);
    const text = renderReplay(report, true).join('\n');
    assert.ok(text.length < 20_000_000, `${text.length} characters`);
    assert.equal(report.packets, 100_000);
    return report;
  };

  test('100,000 negotiations begun', () => {
    const report = bounded(many(i => ike(view => view.setUint32(0, i + 1))));
    assert.equal(report.negotiations.length, 1_000);
    assert.deepEqual(report.notes, ['99000 negotiations after the first 1000 are not looked into']);
  });

  test('100,000 messages of one negotiation, all different', () => {
    const encrypted = (i: number) =>
      ike(view => {
        view.setUint8(18, i % 3 === 0 ? 32 : i % 3 === 1 ? 5 : 6);
        view.setUint8(19, 1);
        view.setUint32(20, i + 1);
      });
    const [negotiation] = bounded(many(encrypted)).negotiations;
    assert.equal(negotiation?.messages.length, 1_000);
    assert.ok((negotiation?.leftOut ?? 0) >= 99_000);
  });

  test('100,000 times the same message, and 100,000 SPIs', () => {
    const [negotiation] = bounded(many(() => ike(() => {}))).negotiations;
    assert.equal(negotiation?.messages[0]?.retransmissions.length, 99_999);
    const esp = ipPacket({ source: '192.0.2.1', destination: '192.0.2.2' }, 50, new Uint8Array(24));
    const { protectedFlows, notes } = bounded(
      many(i => {
        const packet = esp.slice();
        new DataView(packet.buffer).setUint32(20, 0x1000 + i);
        return packet;
      }),
    );
    assert.equal(protectedFlows.length, 10_000);
    assert.match(notes.join(), /^90000 times: a packet of ESP or AH with an SPI after the first 10000/);
  });
});
