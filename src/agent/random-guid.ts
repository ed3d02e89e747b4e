import { randomUUID } from 'node:crypto';
import type { Guid } from '../policy/model.js';

/** A new name for an object of a policy. */
export function randomGuid(): Guid {
  return `{${randomUUID().toUpperCase()}}` as Guid;
}
