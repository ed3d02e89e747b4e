/**
 * Whether the kernel drops packets that need an SA until there is one (1), or lets them wait (0), as the user-space engine does.
 * What the host had before is remembered in the run-time folder, for the run after one that was killed.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readText, writeText } from './host-files.js';

const larvalDrop = '/proc/sys/net/core/xfrm_larval_drop';
const memoryName = 'xfrm_larval_drop';

/** Lets packets wait for their SA; returns what puts the setting back. Where it cannot be changed, first packets are lost. */
export function letPacketsWait(runtimeFolder: string | undefined, setting = larvalDrop): () => void {
  const now = readText(setting);
  const before = now === '0' ? remembered(runtimeFolder) : now;
  if (before === undefined || before === '0') return () => {};
  if (runtimeFolder !== undefined) remember(runtimeFolder, before);
  if (now !== '0' && !writeText(setting, '0')) return () => {};
  return () => {
    writeText(setting, before);
    if (runtimeFolder !== undefined) forget(runtimeFolder);
  };
}

/** Puts back what a run that was killed had changed. */
export function putBackLarvalDrop(runtimeFolder: string | undefined, setting = larvalDrop): void {
  const before = remembered(runtimeFolder);
  if (runtimeFolder === undefined || before === undefined) return;
  writeText(setting, before);
  forget(runtimeFolder);
}

function remembered(runtimeFolder: string | undefined): string | undefined {
  return runtimeFolder === undefined ? undefined : readText(join(runtimeFolder, memoryName));
}

function remember(runtimeFolder: string, value: string): void {
  try {
    mkdirSync(runtimeFolder, { recursive: true, mode: 0o700 });
  } catch {
    return; // Read-only: only an orderly stop puts it back.
  }
  writeText(join(runtimeFolder, memoryName), value);
}

function forget(runtimeFolder: string): void {
  try {
    rmSync(join(runtimeFolder, memoryName), { force: true });
  } catch {
    // Read-only by now.
  }
}
