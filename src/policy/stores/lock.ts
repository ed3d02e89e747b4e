import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { IpseckitError } from '../../report/errors.js';
import { errnoOf, fileError } from './file-error.js';

const patienceMs = 5_000;
const retryMs = 20;

/**
 * Takes the lock file `path` and returns what releases it. Waits up to five seconds for another holder; the lock of
 * a process that died is taken over. Throws `IpseckitError` (STORE, ACCESS_DENIED).
 */
export async function takeLock(path: string): Promise<() => void> {
  const mine = `${process.pid} ${startTimeOf(process.pid) ?? ''} ${Math.random().toString(36).slice(2)}`;
  const offer = `${path}.${process.pid}.${mine.slice(-8)}`;
  const giveUpAt = Date.now() + patienceMs;
  try {
    writeFileSync(offer, mine, { mode: 0o600, flag: 'wx' });
    for (;;) {
      try {
        // Unlike open, link makes the file and its content appear in one step.
        linkSync(offer, path);
        return () => rmSync(path, { force: true });
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw error;
      }
      const holder = readLock(path);
      if (holder === undefined) continue;
      if (!isAlive(holder)) removeStale(path, holder, offer);
      else if (Date.now() > giveUpAt)
        throw new IpseckitError('STORE', `process ${holder.split(' ')[0]} keeps the store locked (${path})`, {
          next: 'wait until it is done, or end it',
        });
      else await sleep(retryMs);
    }
  } catch (error) {
    throw fileError('write', path, error);
  } finally {
    rmSync(offer, { force: true });
  }
}

function readLock(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Moves a dead holder's lock out of the way; a lock that a faster process took meanwhile is put back. */
function removeStale(path: string, holder: string, offer: string): void {
  const aside = `${offer}.stale`;
  try {
    renameSync(path, aside);
    if (readLock(aside) !== holder) linkSync(aside, path);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

/** A process id may have been given to another process since: the start time tells them apart. */
function isAlive(holder: string): boolean {
  const [processId = '', startTime] = holder.split(' ');
  const now = startTimeOf(Number(processId));
  return now !== undefined && now === startTime;
}

/** When a process started, in clock ticks since boot; `undefined` when there is no such process. */
function startTimeOf(processId: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
