import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromHex } from '../../../src/wire/bytes.js';
import { microsoftStatus } from '../../../src/wire/isakmp/notify-data.js';
import { notifyTypes } from '../../../src/wire/isakmp/numbers.js';

describe('the status of Microsoft notifications', () => {
  const cases = [
    ['no SPI', '', '00003601', { status: 13825 }],
    ['SPI of 4 bytes', '01020304', '00003601', { status: 13825 }],
    ['cookies as SPI', '00'.repeat(16), '00003601', { status: 13825 }],
    ['message id as half of the SPI', 'aabbccdd 00003601', '', { status: 13825, messageId: 0xaabbccdd }],
    ['too short', '', '0036', undefined],
  ] as const;
  for (const [name, spi, data, expected] of cases) {
    test(name, () =>
      assert.deepEqual(
        microsoftStatus({
          kind: 'notify',
          doi: 1,
          protocol: 1,
          notifyType: notifyTypes['MS-NOTIFY-STATUS'],
          spi: fromHex(spi),
          data: fromHex(data),
        }),
        expected,
      ),
    );
  }

  test('another notification has none', () =>
    assert.equal(
      microsoftStatus({
        kind: 'notify',
        doi: 1,
        protocol: 1,
        notifyType: 14,
        spi: fromHex(''),
        data: fromHex('00003601'),
      }),
      undefined,
    ));
});
