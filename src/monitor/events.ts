import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import type { LoggedEvent } from '../agent/audit-text.js';
import { isPolicyEvent } from '../agent/policy-events.js';

/** At most this much of the file's end is read: enough for some fifty thousand events. */
const tailBytes = 16 * 1024 * 1024;

export interface EventQuery {
  /** The newest this many, oldest of them first. */
  readonly last: number;
  readonly ids?: readonly number[];
  readonly peer?: string;
}

/** Audit events from the agent's file, oldest first. Lines that are no events (a crash cut one short) are counted. */
export function readEvents(
  path: string,
  query: EventQuery,
): { readonly events: readonly LoggedEvent[]; readonly unreadable: number } {
  let unreadable = 0;
  const events: LoggedEvent[] = [];
  for (const line of tail(path)) {
    const event = parseEvent(line);
    if (event === undefined) unreadable++;
    else if (matches(event, query)) events.push(event);
  }
  return { events: query.last === 0 ? [] : events.slice(-query.last), unreadable };
}

/** Events about policies are about no peer. */
function matches(event: LoggedEvent, { ids = [event.id], peer }: EventQuery): boolean {
  if (!ids.includes(event.id)) return false;
  return peer === undefined || (!isPolicyEvent(event) && event.peer === peer);
}

function tail(path: string): string[] {
  if (!existsSync(path)) return [];
  const { size } = statSync(path);
  const start = Math.max(0, size - tailBytes);
  const bytes = Buffer.alloc(size - start);
  const file = openSync(path, 'r');
  try {
    readSync(file, bytes, 0, bytes.length, start);
  } finally {
    closeSync(file);
  }
  const lines = bytes.toString('utf8').split('\n');
  return (start > 0 ? lines.slice(1) : lines).filter(line => line !== '');
}

function parseEvent(line: string): LoggedEvent | undefined {
  try {
    const value: LoggedEvent = JSON.parse(line);
    if (typeof value !== 'object' || value === null) return undefined;
    return (value.id >= 541 && value.id <= 547) || isPolicyEvent(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
