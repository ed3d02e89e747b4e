/** What libreswan 4.10 does otherwise than others, done here by peers of our own: nothing of it may mislead us. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cbcDecrypt, cbcEncrypt } from '../../src/crypto/ike-cipher.js';
import type { IkeDatagram } from '../../src/driver/api.js';
import { phase2Iv } from '../../src/ike/protection.js';
import { decodeHeader, headerLength } from '../../src/wire/isakmp/message.js';
import { exchangeTypes, headerFlags } from '../../src/wire/isakmp/numbers.js';
import { mainModePolicy, twoHosts } from './harness.js';

const method = { encryption: '3des', hash: 'sha1', group: 1 } as const;
const isEncrypted = ({ bytes }: IkeDatagram) => (decodeHeader(bytes).flags & headerFlags.ENCRYPTED) !== 0;
const isInformational = ({ bytes }: IkeDatagram) =>
  decodeHeader(bytes).exchangeType === exchangeTypes.Informational;

describe('libreswan', () => {
  test('repeats message 4 when it cannot read message 5: the preshared keys differ', () => {
    const { net, a, b } = twoHosts(1, { maxDelayMs: 5 }, {}, { mainMode: mainModePolicy({ psk: 'other' }) });
    let message4: IkeDatagram | undefined;
    net.translate = datagram => {
      if (datagram.local.address === b.address && !isInformational(datagram)) message4 = datagram;
      return isInformational(datagram) ? undefined : datagram;
    };
    const startMs = net.nowMs;
    net.acquire(a);
    while (a.failures.length === 0 && net.nowMs < startMs + 60_000) {
      net.run(1_500, () => a.failures.length > 0);
      if (message4) net.deliver(message4);
    }
    const [failure] = a.failures;
    assert.deepEqual([failure?.reason, failure?.message], ['preshared-keys-differ', 'main mode 5']);
    assert.match(failure?.text ?? '', /repeats main mode 4 and does not answer main mode 5/);
    assert.ok(net.nowMs - startMs < 10_000, `${net.nowMs - startMs} ms`);
  });

  test('repeats message 4 because it is slow: no harm done', () => {
    const { net, a, b } = twoHosts(1, { maxDelayMs: 5 });
    let message4: IkeDatagram | undefined;
    net.translate = datagram => {
      if (datagram.local.address === b.address && !isEncrypted(datagram)) message4 = datagram;
      return datagram.local.address === a.address && isEncrypted(datagram) ? undefined : datagram;
    };
    net.acquire(a);
    for (let repeats = 0; repeats < 3; repeats++) {
      net.run(1_500);
      if (message4) net.deliver(message4);
    }
    net.translate = datagram => datagram;
    assert.ok(net.run(5_000, () => a.pairs.size > 0));
    assert.deepEqual(a.failures, []);
  });

  test('refuses our identity with a message whose IV is made of the message id alone', () => {
    const expected = { kind: 'fqdn', name: 'us.example.com' } as const;
    const { net, a, b } = twoHosts(
      1,
      { maxDelayMs: 5 },
      { options: { exportKeys: true } },
      { mainMode: mainModePolicy({ peerIdentity: expected }) },
    );
    let lastBlock = new Uint8Array(8);
    let refusals = 0;
    net.translate = datagram => {
      if (!isEncrypted(datagram)) return datagram;
      if (datagram.local.address === a.address) lastBlock = datagram.bytes.slice(-8);
      if (datagram.local.address !== b.address || !isInformational(datagram)) return datagram;
      refusals++;
      const [keys] = a.keys;
      assert.ok(keys?.kind === 'ike');
      const { messageId } = decodeHeader(datagram.bytes);
      const iv = (block: Uint8Array) => phase2Iv(method, block, messageId);
      const body = datagram.bytes.subarray(headerLength);
      const plain = cbcDecrypt('3des', keys.encryptionKey, iv(lastBlock), body);
      const bytes = datagram.bytes.slice();
      bytes.set(cbcEncrypt('3des', keys.encryptionKey, iv(new Uint8Array()), plain), headerLength);
      return { ...datagram, bytes };
    };
    net.acquire(a);
    net.run(20_000, () => a.failures.length > 0);
    assert.equal(refusals, 1);
    assert.equal(a.failures[0]?.reason, 'invalid-id');
    assert.match(
      a.failures[0]?.text ?? '',
      /INVALID-ID-INFORMATION to main mode 5: .* does not accept our identity/,
    );
  });
});
