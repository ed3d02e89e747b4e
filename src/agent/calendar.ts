import type { Clock } from './clock.js';

/** Fields of answers and events that say when something was or will be. */
const timeFields = [
  'atMs',
  'establishedAtMs',
  'expiresAtMs',
  'lastUsedAtMs',
  'lastInboundAtMs',
  'lastOutboundAtMs',
] as const;

type Times = Partial<Record<(typeof timeFields)[number], number>>;

/** The same, with its times as the calendar tells them: what people read. */
export function onCalendar<T extends Readonly<Times>>(value: T, clock: Pick<Clock, 'calendarMs'>): T {
  const translated: Times = {};
  for (const field of timeFields) {
    const atMs = value[field];
    if (atMs !== undefined) translated[field] = clock.calendarMs(atMs);
  }
  return { ...value, ...translated };
}
