import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  isFragmentationNeeded,
  quotedFlow,
  readUndelivered,
  type UndeliveredReason,
} from '../../../src/wire/ip/icmp-errors.js';
import { decodeIp } from '../../../src/wire/ip/ip.js';
import { icmpError, udpPacket } from '../../support/packets.js';

/** Family, type, code; what RFC 792, RFC 1812 5.2.7.1 and RFC 4443 3 call it. */
const cases: readonly (readonly [4 | 6, number, number, UndeliveredReason | undefined])[] = [
  [4, 3, 0, 'no-route'],
  [4, 3, 1, 'no-host'],
  [4, 3, 3, 'no-listener'],
  [4, 3, 4, undefined],
  [4, 3, 13, 'prohibited'],
  [4, 3, 200, undefined],
  [4, 11, 0, 'loop'],
  [4, 11, 1, undefined],
  [4, 5, 0, undefined],
  [6, 1, 0, 'no-route'],
  [6, 1, 1, 'prohibited'],
  [6, 1, 3, 'no-host'],
  [6, 1, 4, 'no-listener'],
  [6, 2, 0, undefined],
  [6, 3, 0, 'loop'],
  [6, 3, 3, undefined],
];

describe('ICMP errors', () => {
  for (const [family, type, code, reason] of cases)
    test(`IPv${family} type ${type} code ${code}: ${reason ?? 'no reason for silence'}`, () => {
      assert.equal(readUndelivered({ family, type, code }), reason);
    });

  test('"fragmentation needed" is about length, and IPv4 only', () => {
    assert.ok(isFragmentationNeeded({ family: 4, type: 3, code: 4 }));
    assert.ok(!isFragmentationNeeded({ family: 6, type: 3, code: 4 }));
    assert.ok(!isFragmentationNeeded({ family: 4, type: 3, code: 3 }));
  });
});

test('who talked to whom in a quoted packet is told by a whole error only', () => {
  const sent = udpPacket({ source: '10.1.0.1', destination: '10.2.0.2', sourcePort: 7, destinationPort: 9 });
  const ends = { source: '203.0.113.7', destination: '10.1.0.1' };
  const told = (packet: Uint8Array) => quotedFlow(packet, decodeIp(packet));
  assert.deepEqual(told(icmpError(ends, 3, 1, sent)), {
    ...{ source: '10.1.0.1', destination: '10.2.0.2', protocol: 17 },
    ...{ sourcePort: 7, destinationPort: 9, laterFragment: false },
  });
  for (const header of [{ moreFragments: true }, { fragmentOffset: 8 }])
    assert.equal(told(icmpError({ ...ends, header }, 3, 1, sent)), undefined);
  assert.equal(told(icmpError(ends, 3, 1, sent.subarray(0, 23))), undefined);
  assert.equal(told(icmpError(ends, 0, 0, sent)), undefined);
});
