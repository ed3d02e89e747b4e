import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vendorIds } from '../../src/wire/isakmp/vendor-ids.js';
import { twoHosts, withVendorIds } from './harness.js';

test('every vendor ID we know is named of a peer that sends it', () => {
  for (const [key, { name, match, bytes }] of Object.entries(vendorIds)) {
    const id = match === 'prefix' ? Buffer.concat([bytes, Uint8Array.of(0, 0, 0, 5)]) : bytes;
    const { net, a, b } = twoHosts(1);
    net.translate = datagram => withVendorIds(datagram, [id]);
    net.acquire(a);
    net.run(1_000);
    for (const { engine } of [a, b]) {
      const [mainMode] = engine.mainModes();
      const named = mainMode?.vendorIds.at(-1) ?? '';
      assert.ok(named === name || named.startsWith(`${name} (`), `${key}: ${named}`);
    }
  }
});
