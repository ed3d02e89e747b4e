import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WireError } from '../../../src/wire/bytes.js';
import { addressBytes, ipAddress } from '../../../src/wire/ip/address.js';
import {
  type DataAttribute,
  decodeAttributes,
  encodeAttributes,
  tlv,
  tv,
} from '../../../src/wire/isakmp/attributes.js';
import { payloadLines } from '../../../src/wire/isakmp/describe.js';
import { transactionAttributes as types } from '../../../src/wire/isakmp/numbers.js';
import {
  type Configuration,
  printableText,
  readConfiguration,
  writeConfiguration,
} from '../../../src/wire/isakmp/transaction.js';
import { generator } from '../../ike/harness.js';

const whole: Configuration = {
  address: ipAddress('10.3.0.7'),
  address6: ipAddress('fd03::7'),
  netmask: ipAddress('255.255.255.0'),
  dnsServers: [ipAddress('10.2.0.53'), ipAddress('10.2.0.54'), ipAddress('fd02::53')],
  winsServers: [ipAddress('10.2.0.137'), ipAddress('fd02::137')],
  networks: [
    { address: ipAddress('10.2.0.0'), prefixLength: 16 },
    { address: ipAddress('0.0.0.0'), prefixLength: 0 },
    { address: ipAddress('fd02::'), prefixLength: 64 },
    { address: ipAddress('::'), prefixLength: 0 },
  ],
  domain: 'example.com',
  banner: 'Be nice',
  applicationVersion: 'a gateway',
  expirySeconds: 3_600,
};

describe('configuration of a gateway', () => {
  test('reads as it was written', () => {
    assert.deepEqual(readConfiguration(writeConfiguration(whole)), whole);
    assert.deepEqual(readConfiguration([]), { dnsServers: [], winsServers: [], networks: [] });
    assert.deepEqual(
      readConfiguration([tlv(types.INTERNAL_IP4_ADDRESS, new Uint8Array(0))]).address,
      undefined,
    );
  });

  test('the networks of Cisco and of strongSwan are the same', () => {
    const entry = [10, 2, 0, 0, 255, 255, 0, 0];
    for (const bytes of [entry, [...entry, 0, 0, 0, 0, 0, 0]])
      assert.deepEqual(readConfiguration([tlv(types.UNITY_SPLIT_INCLUDE, Uint8Array.from(bytes))]).networks, [
        { address: '10.2.0.0', prefixLength: 16 },
      ]);
  });

  test('an IPv6 address comes alone, or with a prefix length as strongSwan sends it', () => {
    const bytes = [...addressBytes(ipAddress('fd03::7'))];
    for (const value of [bytes, [...bytes, 64]])
      assert.equal(
        readConfiguration([tlv(types.INTERNAL_IP6_ADDRESS, Uint8Array.from(value))]).address6,
        'fd03::7',
      );
  });

  test('what cannot be right is refused', () => {
    const refused: readonly DataAttribute[] = [
      tlv(types.INTERNAL_IP4_ADDRESS, Uint8Array.of(1, 2, 3)),
      tlv(types.INTERNAL_IP4_DNS, new Uint8Array(16)),
      tlv(types.INTERNAL_IP4_SUBNET, new Uint8Array(9)),
      tlv(types.INTERNAL_IP6_ADDRESS, new Uint8Array(15)),
      tlv(types.INTERNAL_IP6_ADDRESS, new Uint8Array(18)),
      tlv(types.INTERNAL_IP6_DNS, new Uint8Array(17)),
      tlv(types.INTERNAL_IP6_SUBNET, new Uint8Array(16)),
      tlv(types.INTERNAL_IP6_SUBNET, new Uint8Array(17).fill(129)),
      tlv(types.INTERNAL_IP4_SUBNET, Uint8Array.of(10, 0, 0, 0, 255, 0, 255, 0)),
    ];
    for (const attribute of refused) assert.throws(() => readConfiguration([attribute]), WireError);
  });

  test('20,000 mutations of a configuration are read or refused', () => {
    const random = generator(1);
    const bytes = encodeAttributes(writeConfiguration(whole));
    for (let run = 0; run < 20_000; run++) {
      const copy = Uint8Array.from(
        bytes.subarray(0, random() % 4 === 0 ? random() % bytes.length : bytes.length),
      );
      for (let change = random() % 5; change > 0 && copy.length > 0; change--)
        copy[random() % copy.length] = random() & 0xff;
      try {
        const { networks, dnsServers, banner = '' } = readConfiguration(decodeAttributes(copy));
        assert.ok(networks.length <= 64 && dnsServers.length <= 64);
        assert.doesNotMatch(banner, /[^\P{Cc}\n]/u);
      } catch (error) {
        assert.ok(error instanceof WireError, `run ${run}: ${error}`);
      }
    }
  });

  test('text of a gateway cannot steer a terminal', () => {
    assert.equal(printableText(Buffer.from('a\x1b[31m\r\nb\x07\u009bc\n')), 'a [31m\nb  c');
    assert.ok(printableText(new Uint8Array(100_000).fill(0x61)).length <= 4_096);
  });

  test('a dump shows names, and no password', () => {
    const attributes = [
      tv(types.XAUTH_TYPE, 0),
      tlv(types.XAUTH_USER_NAME, Buffer.from('ann')),
      tlv(types.XAUTH_USER_PASSWORD, Buffer.from('secret')),
      tv(types.XAUTH_PASSCODE, 12_345),
    ];
    const dump = payloadLines([{ kind: 'attributes', messageType: 2, identifier: 7, attributes }]).join('\n');
    assert.match(dump, /XAUTH_USER_NAME 616e6e/);
    assert.match(dump, /XAUTH_USER_PASSWORD \(not shown\)/);
    assert.match(dump, /XAUTH_PASSCODE \(not shown\)/);
    assert.doesNotMatch(dump, /736563726574|12345/);
  });
});
