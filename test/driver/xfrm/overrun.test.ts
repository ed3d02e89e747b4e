/** More events of the kernel than there is room for. Needs root or user namespaces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverSuiteSkip } from '../../support/driver-suite.js';
import { createHost } from '../../support/namespaces.js';

const skip = driverSuiteSkip();

test('that events were lost is told, and those after it are read', { skip, timeout: 60_000 }, async () => {
  const host = await createHost('xfl');
  try {
    const program = 'dist/test/support/xfrm-flood-program.js';
    const { status, stdout, stderr } = await host.execute(process.execPath, [program], { timeoutMs: 50_000 });
    assert.equal(status, 0, stderr);
    assert.ok(JSON.parse(stdout).lost > 0, stdout);
  } finally {
    await host.destroy();
  }
});
