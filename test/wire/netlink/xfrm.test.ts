import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex, toHex, WireError } from '../../../src/wire/bytes.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { decodeLayout, encodeLayout } from '../../../src/wire/netlink/layout.js';
import { decodeNetlink } from '../../../src/wire/netlink/message.js';
import { decodeXfrm, xfrmRequests } from '../../../src/wire/netlink/xfrm.js';
import {
  decodePolicy,
  encodePolicy,
  encodePolicyId,
  type XfrmPolicy,
} from '../../../src/wire/netlink/xfrm-policy.js';
import { anySelector } from '../../../src/wire/netlink/xfrm-selector.js';
import {
  decodeState,
  encodeState,
  encodeStateId,
  unlimited,
  type XfrmState,
} from '../../../src/wire/netlink/xfrm-state.js';
import * as c from '../../../src/wire/netlink/xfrm-structures.js';
import { SeededRandom } from '../../support/random.js';
import { recorded } from './xfrm-recorded.js';

const near = ipAddress('192.0.2.1');
const far = ipAddress('198.51.100.7');
const networks = {
  source: { address: ipAddress('10.1.0.0'), length: 16 },
  destination: { address: ipAddress('10.2.0.0'), length: 24 },
};

const payloadOf = (hex: string) => decodeNetlink(fromHex(hex), true)[0]?.payload ?? new Uint8Array(0);

const state: XfrmState = {
  id: { destination: far, spi: 0x12345678, protocol: 50 },
  source: near,
  mode: 'tunnel',
  requestId: 77,
  selector: { ...networks, protocol: 0, user: 0 },
  limits: { ...unlimited, softSeconds: 100, hardSeconds: 200, softBytes: 1000, hardBytes: 2000 },
  sequence: 0,
  flags: 0,
  encryption: { name: 'cbc(aes)', key: fromHex('000102030405060708090a0b0c0d0e0f') },
  authentication: {
    name: 'hmac(sha1)',
    key: fromHex('1112131415161718191a1b1c1d1e1f2021222324'),
    icvBits: 96,
  },
  encapsulation: { sourcePort: 4500, destinationPort: 4501 },
};

const template = { source: near, destination: far, requestId: 77 } as const;
const policy: XfrmPolicy = {
  selector: { ...networks, protocol: 6, destinationPort: 445, user: 0 },
  direction: 'out',
  action: 'allow',
  priority: 1234,
  templates: [
    { ...template, protocol: 50, mode: 'tunnel', optional: false },
    { ...template, protocol: 51, mode: 'transport', optional: true },
  ],
};

describe('XFRM messages', () => {
  test('structures have the sizes of linux/xfrm.h on 64-bit kernels', () => {
    const sizes = Object.entries({
      ...{ identity: 24, selector: 56, limits: 64, usage: 32, counts: 12, stateInfo: 224, stateId: 24 },
      ...{ policyInfo: 168, policyId: 64, template: 64, expiry: 232, acquisition: 280, mappingChange: 64 },
      ...{
        spiRequest: 232,
        encapsulation: 24,
        algorithm: 68,
        truncatedAlgorithm: 72,
        replayState: 24,
        mark: 8,
      },
    });
    const layouts = new Map<string, unknown>(Object.entries(c));
    for (const [name, bytes] of sizes) {
      const layout = layouts.get(name);
      assert.ok(typeof layout === 'object' && layout !== null && 'bytes' in layout, name);
      assert.equal(layout.bytes, bytes, name);
    }
  });

  test('a state is written as "ip xfrm state add" does, and read back', () => {
    const bytes = payloadOf(recorded.state);
    // "ip" puts the encapsulation last as we do, and the cipher before the ICV; the kernel does not mind the order.
    const { usage, replayed, integrityFailed, ...read } = decodeState(bytes, true);
    assert.deepEqual(read, state);
    assert.deepEqual([usage.bytes, replayed, integrityFailed], [0, 0, 0]);
    const fixed = c.stateInfo.bytes;
    assert.equal(toHex(encodeState(state, true).subarray(0, fixed)), toHex(bytes.subarray(0, fixed)));
    assert.equal(encodeState(state, true).length, bytes.length);
  });

  test('a state of IPv6 with a combined-mode cipher', () => {
    const read = decodeState(payloadOf(recorded.state6), true);
    assert.deepEqual(read.id, { destination: ipAddress('2001:db8::2'), spi: 0x1000, protocol: 50 });
    assert.equal(read.combined?.name, 'rfc4106(gcm(aes))');
    assert.equal(read.combined?.key.length, 20);
    assert.equal(read.combined?.icvBits, 128);
  });

  test('a policy is written as "ip xfrm policy update" does, byte for byte', () => {
    const bytes = payloadOf(recorded.policy);
    const { usedAtSeconds, ...read } = decodePolicy(bytes, true);
    assert.equal(usedAtSeconds, 0);
    assert.deepEqual(read, policy);
    assert.equal(toHex(encodePolicy(policy, true)), toHex(bytes));
  });

  test('a policy of IPv6 that blocks what is forwarded, byte for byte', () => {
    const bytes = payloadOf(recorded.block6);
    const { usedAtSeconds, ...read } = decodePolicy(bytes, true);
    assert.equal(usedAtSeconds, 0);
    assert.deepEqual([read.direction, read.action, read.priority], ['fwd', 'block', 9]);
    assert.equal(toHex(encodePolicy(read, true)), toHex(bytes));
  });

  test('what names a state or a policy is written as "ip xfrm … delete" does', () => {
    const [stateId, policyId] = [payloadOf(recorded.delete), payloadOf(recorded.deletepol)];
    assert.equal(toHex(encodeStateId(state.id, true)), toHex(stateId.subarray(0, c.stateId.bytes)));
    const named = { selector: { ...networks, protocol: 0, user: 0 }, direction: 'out' } as const;
    assert.equal(toHex(encodePolicyId(named, true)), toHex(policyId.subarray(0, c.policyId.bytes)));
  });

  test('both byte orders, every attribute', () => {
    const full: XfrmState = {
      ...state,
      replay: { window: 64, outbound: 7 * 2 ** 32 + 7, inbound: 0xffff_fff0, bitmap: [0x8000_0001, 3] },
    };
    for (const little of [true, false]) {
      const { usage, replayed, integrityFailed, ...read } = decodeState(encodeState(full, little), little);
      assert.deepEqual(read, full);
      assert.deepEqual([usage.packets, replayed, integrityFailed], [0, 0, 0]);
      const { usedAtSeconds, ...same } = decodePolicy(encodePolicy(policy, little), little);
      assert.deepEqual([same, usedAtSeconds], [policy, 0]);
      const flagged = { ...policy, icmpErrors: true } as const;
      assert.equal(decodePolicy(encodePolicy(flagged, little), little).icmpErrors, true);
    }
  });

  test('a port of 0 is not any port', () => {
    const selector = { ...anySelector(4), protocol: 17, sourcePort: 0, interfaceIndex: 3, user: 0x4900_0007 };
    const one = { ...policy, selector };
    assert.deepEqual(decodePolicy(encodePolicy(one, true), true).selector, selector);
  });

  test('acquires, expiries and mappings', () => {
    for (const little of [true, false]) {
      const info = decodeLayout(c.policyInfo, encodePolicy(policy, little), little, 'policy');
      const stateInfo = decodeLayout(c.stateInfo, encodeState(state, little), little, 'state');
      const acquisition = encodeLayout(
        c.acquisition,
        {
          id: { destination: fromHex('c6336407'), spi: 0, protocol: 50 },
          source: fromHex('c0000201'),
          selector: info.selector,
          policy: info,
          authenticationAlgorithms: 0,
          encryptionAlgorithms: 0,
          compressionAlgorithms: 0,
          sequence: 9,
        },
        little,
      );
      const templates = encodePolicy(policy, little).subarray(c.policyInfo.bytes);
      const [acquire] = message(0x17, Buffer.concat([acquisition, templates]), little);
      assert.deepEqual(
        acquire?.kind === 'acquire' && [
          acquire.acquire.destination,
          acquire.acquire.source,
          acquire.acquire.sequence,
        ],
        [far, near, 9],
      );
      assert.deepEqual(acquire?.kind === 'acquire' && acquire.acquire.policy.templates, policy.templates);

      const [expire] = message(0x18, encodeLayout(c.expiry, { state: stateInfo, hard: 1 }, little), little);
      assert.deepEqual(expire?.kind === 'expire' && [expire.state.id, expire.hard], [state.id, true]);

      const mapping = encodeLayout(
        c.mappingChange,
        {
          id: { destination: fromHex('c0000201'), spi: 5, family: 2, protocol: 50 },
          requestId: 77,
          oldSource: fromHex('c6336407'),
          newSource: fromHex('cb007109'),
          oldSourcePort: 4500,
          newSourcePort: 61000,
        },
        little,
      );
      assert.deepEqual(message(0x26, mapping, little), [
        {
          kind: 'mapping',
          id: { destination: near, spi: 5, protocol: 50 },
          source: ipAddress('203.0.113.9'),
          sourcePort: 61000,
        },
      ]);
    }
  });

  test('what is not ours is skipped: a mode we do not know, a policy of a socket', () => {
    const bytes = Uint8Array.from(encodePolicy(policy, true));
    bytes[c.policyInfo.bytes - 8] = 4;
    assert.deepEqual(message(0x13, bytes, true), [{ kind: 'other', type: 0x13 }]);
  });

  test('no cut or changed message does anything but decode or throw a WireError', () => {
    const random = new SeededRandom(20);
    const whole = fromHex(recorded.state);
    for (let run = 0; run < 2000; run++) {
      const bytes = Uint8Array.from(whole.subarray(0, random.between(0, whole.length)));
      for (let i = 0; i < 4 && bytes.length > 0; i++)
        bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
      try {
        decodeXfrm(bytes, true);
      } catch (error) {
        assert.ok(error instanceof WireError, `seed 20, run ${run}: ${error}`);
      }
    }
  });

  test('requests carry the flags that make the kernel answer', () => {
    assert.equal(xfrmRequests.addState(state).flags, 5);
    assert.equal(xfrmRequests.listStates().flags, 0x301);
  });
});

function message(type: number, payload: Uint8Array, little: boolean) {
  const header = Buffer.alloc(16);
  if (little) {
    header.writeUInt32LE(16 + payload.length);
    header.writeUInt16LE(type, 4);
  } else {
    header.writeUInt32BE(16 + payload.length);
    header.writeUInt16BE(type, 4);
  }
  return decodeXfrm(Buffer.concat([header, payload]), little);
}
