import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { wiresharkLines } from '../../src/monitor/wireshark-keys.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { staticEnds } from '../support/static-pair.js';

const ends = {
  name: 'pair',
  one: ipAddress('192.0.2.1'),
  other: ipAddress('192.0.2.2'),
  mode: 'tunnel',
} as const;

describe('key tables for Wireshark', () => {
  test('an IKE SA is its initiator cookie and its key', () => {
    const lines = wiresharkLines({
      kind: 'ike',
      initiatorCookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
      encryptionKey: Uint8Array.of(0xab, 0xcd),
      encryption: '3DES',
    });
    assert.deepEqual(lines, [{ table: 'ikev1_decryption_table', line: '0102030405060708,abcd' }]);
  });

  test('an ESP SA is one line for each direction, in the names tshark has', () => {
    const { pair } = staticEnds({ ...ends, esp: { encryption: '3des', hash: 'sha1' } }, 1).one;
    const lines = wiresharkLines({ kind: 'sa', pair });
    const names = ['"TripleDES-CBC [RFC2451]"', '"HMAC-SHA-1-96 [RFC2404]"'];
    assert.deepEqual(
      lines.map(({ line }) => {
        const [version, source, destination, , cipher, key, integrity, integrityKey] = line.split(',');
        return [version, source, destination, cipher, key?.length, integrity, integrityKey?.length];
      }),
      [
        ['"IPv4"', '"192.0.2.1"', '"192.0.2.2"', names[0], 52, names[1], 44],
        ['"IPv4"', '"192.0.2.2"', '"192.0.2.1"', names[0], 52, names[1], 44],
      ],
      'quotes, 0x, two digits a byte',
    );
  });

  test('GCM has the salt behind its key, and no integrity of its own', () => {
    const { pair } = staticEnds({ ...ends, esp: { encryption: 'aes256gcm' } }, 1).one;
    const [first] = wiresharkLines({ kind: 'sa', pair });
    assert.match(first?.line ?? '', /,"AES-GCM with 16 octet ICV \[RFC4106\]","0x[0-9a-f]{72}","NULL",""$/);
  });

  test('with extended sequence numbers it decrypts, and does not check what it cannot', () => {
    const esp = { encryption: 'aes128', hash: 'sha256' } as const;
    const { pair } = staticEnds({ ...ends, esp, extendedSequence: true }, 1).one;
    const [first] = wiresharkLines({ kind: 'sa', pair });
    assert.match(first?.line ?? '', /"0x[0-9a-f]{32}","ANY 128 bit authentication \[no checking\]",""$/);
  });

  test('of an SA between IPv6 addresses they say so', () => {
    const { pair } = staticEnds({ ...ends, esp: { encryption: 'aes128', hash: 'sha1' } }, 1).one;
    const [local, peer] = [ipAddress('2001:db8::1'), ipAddress('2001:db8::2')];
    const [first] = wiresharkLines({ kind: 'sa', pair: { ...pair, local, peer } });
    assert.match(first?.line ?? '', /^"IPv6","2001:db8::1","2001:db8::2",/);
  });

  test('AH needs no keys to be read', () => {
    const { pair } = staticEnds({ ...ends, ah: { hash: 'sha1' } }, 1).one;
    assert.deepEqual(wiresharkLines({ kind: 'sa', pair }), []);
  });
});
