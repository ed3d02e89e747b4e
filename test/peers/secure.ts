/** What interop tests ask of our agent besides its own commands. */
import { existsSync, readFileSync } from 'node:fs';
import { auditFilePath } from '../../src/agent/paths.js';
import { parseTunnel, type TunnelDocument } from '../../src/agent/tunnel.js';
import { tunnelSource } from '../../src/agent/tunnel-source.js';
import type { AuditEvent } from '../../src/ike/api.js';
import { policyToDocument } from '../../src/policy/document.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import type { AgentOnHost } from '../support/agent-host.js';

/** A connection as a test describes it; its lifetimes may be shorter than the command line allows. */
export type Connection = Omit<TunnelDocument, 'format' | 'version' | 'name'>;

/**
 * Puts exactly these connections in force as dynamic rules: nothing is negotiated until traffic or the peer asks
 * for it.
 */
export async function secure(agent: AgentOnHost, ...connections: readonly Connection[]): Promise<void> {
  await agent.call('clearDynamic', {});
  for (const connection of connections)
    await agent.call('addDynamic', { policy: policyToDocument(policyOf(connection)) });
}

function policyOf({
  lifetimeSeconds,
  lifetimeKilobytes,
  mainModeLifetimeSeconds,
  ...connection
}: Connection) {
  const tunnel = parseTunnel({ format: 'ipseckit-tunnel', version: 1, name: 'peer', ...connection });
  const lifetimes = {
    ...(lifetimeSeconds === undefined ? {} : { lifetimeSeconds }),
    ...(lifetimeKilobytes === undefined ? {} : { lifetimeKilobytes }),
  };
  return tunnelSource({
    ...tunnel,
    methods: tunnel.methods.map(method => ({ ...method, ...lifetimes })),
    ...(mainModeLifetimeSeconds === undefined ? {} : { mainModeLifetimeSeconds }),
  }).policy;
}

/** Every audit event of an agent so far. */
export function auditEvents(agent: AgentOnHost): AuditEvent[] {
  const file = auditFilePath(ipseckitHome({ IPSECKIT_HOME: agent.home }));
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter(line => line !== '').map((line): AuditEvent => JSON.parse(line));
}
