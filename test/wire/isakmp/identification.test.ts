import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { printRange } from '../../../src/wire/ip/selector.js';
import {
  addressId,
  nameId,
  nameOfId,
  printId,
  rangeId,
  rangeOfId,
} from '../../../src/wire/isakmp/identification.js';
import { idTypes } from '../../../src/wire/isakmp/numbers.js';

const range = (first: string, last: string) => ({ first: ipAddress(first), last: ipAddress(last) });

describe('ranges to IDs and back', () => {
  const cases = [
    ['192.0.2.1', '192.0.2.1', idTypes.IPV4_ADDR, 'c0000201'],
    ['10.1.0.0', '10.1.255.255', idTypes.IPV4_ADDR_SUBNET, '0a010000 ffff0000'],
    ['0.0.0.0', '255.255.255.255', idTypes.IPV4_ADDR_SUBNET, '00000000 00000000'],
    ['10.0.0.3', '10.0.0.9', idTypes.IPV4_ADDR_RANGE, '0a000003 0a000009'],
    ['2001:db8::1', '2001:db8::1', idTypes.IPV6_ADDR, '20010db8000000000000000000000001'],
    [
      '2001:db8::',
      '2001:db8::ffff',
      idTypes.IPV6_ADDR_SUBNET,
      '20010db8000000000000000000000000 ffffffffffffffffffffffffffff0000',
    ],
    ['::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', idTypes.IPV6_ADDR_SUBNET, '00'.repeat(32)],
    [
      '2001:db8::1',
      '2001:db8::4',
      idTypes.IPV6_ADDR_RANGE,
      '20010db8000000000000000000000001 20010db8000000000000000000000004',
    ],
  ] as const;
  for (const [first, last, idType, data] of cases) {
    test(`${first} to ${last}`, () => {
      const id = rangeId(range(first, last), 6, 80);
      assert.deepEqual(
        { ...id, data: toHex(id.data) },
        {
          kind: 'id',
          idType,
          protocol: 6,
          port: 80,
          data: toHex(fromHex(data)),
        },
      );
      assert.deepEqual(rangeOfId(id), range(first, last));
      assert.equal(printId(id), printRange(range(first, last)));
    });
  }

  test('host bits of a subnet are ignored', () => {
    const id = { idType: idTypes.IPV4_ADDR_SUBNET, data: fromHex('0a010203 ffffff00') };
    assert.deepEqual(rangeOfId(id), range('10.1.2.0', '10.1.2.255'));
  });

  test('a protocol is not needed', () => {
    const { protocol, port } = addressId(ipAddress('192.0.2.1'));
    assert.deepEqual([protocol, port], [0, 0]);
  });
});

describe('IDs that are no range', () => {
  const cases = [
    ['mask with a hole', idTypes.IPV4_ADDR_SUBNET, '0a010203 ff00ff00'],
    ['range backwards', idTypes.IPV4_ADDR_RANGE, '0a000009 0a000003'],
    ['wrong length', idTypes.IPV4_ADDR, 'c00002'],
    ['a name', idTypes.FQDN, '6777'],
    ['unknown type', 99, 'c0000201'],
  ] as const;
  for (const [name, idType, data] of cases)
    test(name, () => assert.equal(rangeOfId({ idType, data: fromHex(data) }), undefined));
});

test('names', () => {
  const id = nameId(idTypes.FQDN, 'gw.example.com');
  assert.equal(toHex(id.data), toHex(Buffer.from('gw.example.com')));
  assert.equal(nameOfId(id), 'gw.example.com');
  assert.equal(printId(id), 'gw.example.com');
  assert.equal(nameOfId({ idType: idTypes.KEY_ID, data: id.data }), undefined);
  assert.equal(printId(nameId(idTypes.USER_FQDN, 'a\n\u001b[31m')), 'a\\n\\u001b[31m');
  // Eight-bit control sequences, DEL, and what turns the direction of a text or hides in it.
  assert.equal(
    printId(nameId(idTypes.FQDN, 'a\u009b31m\u007f\u202eb\u200b\u2028\u{e0041}')),
    'a\\u009b31m\\u007f\\u202eb\\u200b\\u2028\\u{e0041}',
  );
  assert.equal(printId({ idType: idTypes.KEY_ID, data: fromHex('0102') }), 'KEY_ID 0102');
});
