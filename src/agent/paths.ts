import { join } from 'node:path';
import type { Home } from '../policy/stores/home.js';

/** The control socket of the agent that serves this home. */
export function controlSocketPath(home: Home): string {
  return join(home.runtime, 'agent.sock');
}

/** The audit events of this home: one JSON line each. */
export function auditFilePath(home: Home): string {
  return join(home.state, 'audit.jsonl');
}
