import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { letPacketsWait, putBackLarvalDrop } from '../../../src/driver/xfrm/larval-drop.js';

/** The setting of a kernel, played by a file, beside a run-time folder that is not there yet. */
function played(value: string) {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-larval-'));
  const setting = join(folder, 'setting');
  const runtime = join(folder, 'run');
  writeFileSync(setting, value);
  return {
    ...{ setting, runtime },
    now: () => readFileSync(setting, 'utf8'),
    remembers: () => existsSync(join(runtime, 'xfrm_larval_drop')),
    remove: () => rmSync(folder, { recursive: true }),
  };
}

test('what was set before is put back at the end, also that of a run that was killed', () => {
  const host = played('1');
  letPacketsWait(host.runtime, host.setting);
  assert.equal(host.now(), '0');
  const stop = letPacketsWait(host.runtime, host.setting);
  assert.equal(host.now(), '0');
  stop();
  assert.deepEqual([host.now(), host.remembers()], ['1', false]);
  host.remove();
});

test('the other engine puts it back after a kill, once', () => {
  const host = played('1');
  letPacketsWait(host.runtime, host.setting);
  putBackLarvalDrop(host.runtime, host.setting);
  assert.deepEqual([host.now(), host.remembers()], ['1', false]);
  writeFileSync(host.setting, '0');
  putBackLarvalDrop(host.runtime, host.setting);
  assert.equal(host.now(), '0');
  host.remove();
});

test('a host that lets packets wait anyway is left alone', () => {
  const host = played('0');
  letPacketsWait(host.runtime, host.setting)();
  assert.deepEqual([host.now(), host.remembers()], ['0', false]);
  host.remove();
});
