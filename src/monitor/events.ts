import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import type { AuditEvent } from '../ike/api.js';

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
): { readonly events: readonly AuditEvent[]; readonly unreadable: number } {
  let unreadable = 0;
  const events: AuditEvent[] = [];
  for (const line of tail(path)) {
    const event = parseEvent(line);
    if (event === undefined) unreadable++;
    else if ((query.ids ?? [event.id]).includes(event.id) && (query.peer ?? event.peer) === event.peer)
      events.push(event);
  }
  return { events: query.last === 0 ? [] : events.slice(-query.last), unreadable };
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

function parseEvent(line: string): AuditEvent | undefined {
  try {
    const value: AuditEvent = JSON.parse(line);
    return typeof value === 'object' && value !== null && value.id >= 541 && value.id <= 547
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}
