import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { chooseDriver } from '../../src/cli/driver.js';
import { probeKernel } from '../../src/driver/xfrm/probe.js';

describe('the choice of the packet engine', () => {
  const lacking = probeKernel();

  test('what is asked for is taken', async () => {
    const { driver, reason } = await chooseDriver({ driver: 'userspace' });
    assert.deepEqual([driver.name, reason], ['userspace', 'asked for']);
  });

  test("the kernel's where it can, else ours, and why", async () => {
    const { driver, reason } = await chooseDriver();
    assert.equal(driver.name, lacking === undefined ? 'xfrm' : 'userspace');
    if (lacking !== undefined) assert.ok(reason.includes(lacking.message), reason);
  });

  test("the kernel's is refused where it cannot", async () => {
    if (lacking === undefined) {
      assert.equal((await chooseDriver({ driver: 'xfrm' })).driver.name, 'xfrm');
      return;
    }
    assert.ok(['ENVIRONMENT', 'ACCESS_DENIED'].includes(lacking.code), lacking.code);
    await assert.rejects(chooseDriver({ driver: 'xfrm' }), { code: lacking.code });
  });
});
