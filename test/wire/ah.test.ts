import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { AhTransform } from '../../src/crypto/ah-transform.js';
import { ahBytes, decodeAh, encodeAh, maskMutableIpv4 } from '../../src/wire/ah.js';
import { fromHex, toHex, WireError } from '../../src/wire/bytes.js';
import { ipPacket } from '../support/packets.js';
import { SeededRandom } from '../support/random.js';

/** AH transport, HMAC-SHA1-96, of `esp-ah.md` 13. */
const packet = `4500003c0001000040338e57c0000201c6336402
  1104000000001002 00000001 5495ef74d9024b5cccd72e9e 06a506a5001000004148207465737421`;
const key = fromHex('000102030405060708090a0b0c0d0e0f10111213');

describe('AH header', () => {
  test('lengths for IPv4, and for peers that align to 8', () => {
    assert.deepEqual(
      [12, 16, 24, 32].map(icvBytes => [ahBytes(icvBytes), ahBytes(icvBytes, 8)]),
      [
        [24, 24],
        [28, 32],
        [36, 40],
        [44, 48],
      ],
    );
  });

  test('decodes, and encodes back', () => {
    const bytes = fromHex(packet).subarray(20);
    const header = decodeAh(bytes);
    assert.equal(header.nextHeader, 17);
    assert.equal(header.spi, 0x1002);
    assert.equal(header.sequence, 1);
    assert.equal(toHex(header.icv), '5495ef74d9024b5cccd72e9e');
    assert.equal(toHex(encodeAh(header)), toHex(bytes.subarray(0, 24)));
  });

  test('cut and undersized headers are errors', () => {
    const bytes = fromHex(packet).subarray(20);
    assert.throws(() => decodeAh(bytes.subarray(0, 11)), { reason: 'truncated' });
    assert.throws(() => decodeAh(bytes.subarray(0, 23)), { reason: 'truncated' });
    assert.throws(() => decodeAh(fromHex('11000000 00001002 00000001')), { reason: 'bad-length' });
  });

  test('whatever decodes encodes back', () => {
    const random = new SeededRandom(2402);
    let decoded = 0;
    for (let i = 0; i < 5000; i++) {
      const bytes = random.bytes(random.int(80));
      if (bytes.length > 1) bytes[1] = random.int(16);
      try {
        const header = decodeAh(bytes);
        assert.equal(toHex(encodeAh(header)), toHex(bytes.subarray(0, 12 + header.icv.length)));
        decoded++;
      } catch (error) {
        assert.ok(error instanceof WireError);
      }
    }
    assert.ok(decoded > 500);
  });
});

describe('AH ICV over IPv4', () => {
  const transform = new AhTransform('sha1', key);

  test('the derived packet of esp-ah.md', () => {
    const bytes = fromHex(packet);
    assert.equal(transform.verify(bytes, bytes.length, 20), true);
    const blank = Uint8Array.from(bytes).fill(0, 32, 44);
    transform.seal(blank, 0, blank.length, 20);
    assert.equal(toHex(blank), toHex(bytes));
  });

  test('routers may change ToS, flags, offset, TTL and checksum, and nothing else', () => {
    const bytes = fromHex(packet);
    const mutable = new Set([1, 6, 7, 8, 10, 11]);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 0x55;
      assert.equal(transform.verify(changed, bytes.length, 20), mutable.has(at), `byte ${at}`);
    }
  });

  test('options: router alert is covered, record route may be filled in on the way', () => {
    const options = fromHex('9404abcd 0707040000000000 01 01 01 00');
    assert.equal(options.length % 4, 0);
    const bytes = ipPacket(
      { source: '192.0.2.1', destination: '198.51.100.2', options },
      51,
      fromHex('1104000000001002 00000001 000000000000000000000000 0102030405060708'),
    );
    const headerBytes = 20 + options.length;
    transform.seal(bytes, 0, bytes.length, headerBytes);
    const recorded = Uint8Array.from(bytes);
    recorded.set(fromHex('08c0000263'), 20 + 4 + 2);
    assert.equal(transform.verify(recorded, recorded.length, headerBytes), true);
    const alert = Uint8Array.from(bytes);
    alert[20 + 3] = 0;
    assert.equal(transform.verify(alert, alert.length, headerBytes), false);
  });

  test('source route: the final destination is covered, before and after the hops', () => {
    // Strict source route through 10.0.0.1 to 10.0.0.2; the header's destination is the first hop.
    const atSender = ipPacket(
      { source: '192.0.2.1', destination: '10.0.0.9', options: fromHex('890b04 0a000001 0a000002 00') },
      51,
      fromHex('1104000000001002 00000001 000000000000000000000000 aa'),
    );
    transform.seal(atSender, 0, atSender.length, 32);
    // At the end the destination is the last address, the list records the way, the pointer is past it.
    const atReceiver = Uint8Array.from(atSender);
    atReceiver.set(fromHex('0a000002'), 16);
    atReceiver.set(fromHex('890b0c 0a000063 0a000064'), 20);
    assert.equal(transform.verify(atReceiver, atReceiver.length, 32), true);
    atReceiver.set(fromHex('0a000003'), 16);
    assert.equal(transform.verify(atReceiver, atReceiver.length, 32), false);
  });

  test('malformed options are an error, not a reading past the header', () => {
    for (const options of ['07000000', '0701aabb', '94ff0000', '01010107']) {
      const bytes = ipPacket(
        { source: '192.0.2.1', destination: '198.51.100.2', options: fromHex(options) },
        51,
        key,
      );
      assert.throws(() => maskMutableIpv4(bytes, 24), { name: 'WireError', reason: 'bad-length' }, options);
    }
  });

  test('the bits of an extended sequence number that are not sent are covered behind the packet', () => {
    const bytes = fromHex(packet);
    const extended = new AhTransform('sha1', key, { extendedSequence: true });
    assert.equal(extended.verify(bytes, bytes.length, 20, 0), false);
    extended.seal(bytes, 0, bytes.length, 20, 0x0102_0304);
    assert.equal(extended.verify(bytes, bytes.length, 20, 0x0102_0304), true);
    assert.equal(extended.verify(bytes, bytes.length, 20, 0x0102_0305), false);
    const covered = Uint8Array.from(bytes).fill(0, 32, 44);
    maskMutableIpv4(covered, 20);
    const independent = createHmac('sha1', key)
      .update(covered)
      .update(Uint8Array.of(1, 2, 3, 4))
      .digest();
    assert.equal(toHex(bytes.subarray(32, 44)), toHex(independent.subarray(0, 12)));
    assert.equal(extended.otherIcvBytes(bytes, bytes.length, 20, 0x0102_0304), undefined);
  });

  test('surplus behind the ICV (peers that align to 8) is covered as sent', () => {
    const sha256 = new AhTransform('sha256', new Uint8Array(32).fill(3));
    const bytes = ipPacket(
      { source: '192.0.2.1', destination: '198.51.100.2' },
      51,
      fromHex(`1106000000001002 00000001 ${'00'.repeat(16)} 01020304 deadbeef`),
    );
    sha256.seal(bytes, 0, bytes.length, 20);
    assert.equal(sha256.verify(bytes, bytes.length, 20), true);
    bytes[20 + 12 + 16] = 9;
    assert.equal(sha256.verify(bytes, bytes.length, 20), false);
  });
});
