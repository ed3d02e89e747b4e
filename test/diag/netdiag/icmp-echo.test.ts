import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeEchoReply, encodeEchoRequest } from '../../../src/diag/netdiag/icmp-echo.js';
import { ping } from '../../../src/diag/netdiag/ping.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { SeededRandom } from '../../support/random.js';

test('an echo request has a checksum that sums to zero', () => {
  const request = Buffer.from(encodeEchoRequest({ identifier: 0x1234, sequence: 7 }));
  assert.equal(request.subarray(0, 2).toString('hex'), '0800');
  let sum = 0;
  for (let at = 0; at < request.length; at += 2) sum += request.readUInt16BE(at);
  assert.equal(((sum & 0xffff) + (sum >>> 16)) & 0xffff, 0xffff);
});

test('only an echo reply is taken for one', () => {
  const message = encodeEchoRequest({ identifier: 0x1234, sequence: 7 });
  const packet = Buffer.concat([Buffer.from([0x45, ...new Array(19).fill(0)]), message]);
  assert.equal(decodeEchoReply(packet), undefined, 'a request is none');
  packet[20] = 0;
  assert.deepEqual(decodeEchoReply(packet), { identifier: 0x1234, sequence: 7 });
});

test('hostile packets: a reply or undefined', t => {
  const seed = 11;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  let replies = 0;
  for (let i = 0; i < 20_000; i++) {
    const packet = random.bytes(random.int(64));
    if (random.chance(0.5)) packet[0] = 0x45;
    if (random.chance(0.5)) packet[20] = 0;
    if (decodeEchoReply(packet) !== undefined) replies++;
  }
  assert.ok(replies > 100 && replies < 20_000);
});

test('pings loopback, or says why it cannot', async () => {
  const result = await ping(ipAddress('127.0.0.1'));
  if (process.getuid?.() === 0) assert.equal(result.kind, 'answered');
  else assert.ok(result.kind === 'answered' || (result.kind === 'impossible' && result.reason !== ''));
});
