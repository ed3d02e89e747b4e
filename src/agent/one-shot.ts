import type { PairId } from '../driver/api.js';
import type { NegotiationFailure } from '../ike/api.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { ActiveFilter, PolicySource } from './active-policy.js';
import type { Agent } from './agent.js';
import { NegotiationError } from './failure.js';
import { configuredTunnel } from './gateway-client.js';
import type { TunnelSpec } from './tunnel.js';
import { tunnelSource } from './tunnel-source.js';

/** How long to wait, and what ends the waiting earlier. */
export interface Patience {
  readonly timeoutMs: number;
  readonly interrupted?: AbortSignal;
}

/** A tunnel that is up: its pairs, and itself with what its gateway has configured. */
export interface TunnelUp {
  readonly pairs: readonly PairId[];
  readonly tunnel: TunnelSpec;
}

/**
 * Puts one ad-hoc tunnel in force on a started agent, beside what is there, and negotiates all its pairs.
 * Throws `NegotiationError`, or `IpseckitError` (NO_RESPONSE, INTERRUPTED); the tunnel's filters stay in force
 * (traffic is held, not leaked) until the caller takes them away.
 */
export async function bringUp(agent: Agent, tunnel: TunnelSpec, patience: Patience): Promise<TunnelUp> {
  const source = tunnelSource(tunnel);
  await agent.setSources([...agent.sources, source]);
  if (outboundOf(agent, source).length === 0)
    throw new IpseckitError('ENVIRONMENT', `${tunnel.local} is not an address of this host`, {
      next: '"ip address" shows its addresses; --local chooses another',
    });
  const limit = patienceLimit(agent, tunnel.peer, patience);
  try {
    let inForce = source;
    let configured = tunnel;
    if (tunnel.modeConfig !== undefined) {
      const configuration = await Promise.race([agent.connect(tunnel.local, tunnel.peer), limit.reached]);
      configured = configuredTunnel(tunnel, configuration);
      inForce = tunnelSource(configured);
      await agent.setSources(agent.sources.map(other => (other === source ? inForce : other)));
    }
    const pairs: PairId[] = [];
    // One after the other: the first negotiation brings the main mode that the others share.
    for (const { filter } of outboundOf(agent, inForce))
      pairs.push(await Promise.race([agent.negotiate(filter.id, tunnel.local, tunnel.peer), limit.reached]));
    return { pairs, tunnel: configured };
  } catch (error) {
    throw isFailure(error) ? new NegotiationError(error) : error;
  } finally {
    limit.cancel();
  }
}

/** What has to be negotiated. */
function outboundOf(agent: Agent, source: PolicySource): ActiveFilter[] {
  return agent
    .filters()
    .filter(
      ({ source: from, filter }) =>
        from === source && filter.direction === 'outbound' && filter.action === 'secure',
    );
}

/** Rejects when patience is at its end; `cancel` ends the waiting. */
function patienceLimit(
  agent: Agent,
  peer: IpAddress,
  { timeoutMs, interrupted }: Patience,
): { readonly reached: Promise<never>; cancel(): void } {
  const ended = new AbortController();
  const reached = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(tooLate(agent, peer, timeoutMs)), timeoutMs);
    ended.signal.addEventListener('abort', () => clearTimeout(timer));
    const interrupt = () => reject(new IpseckitError('INTERRUPTED', 'interrupted; nothing was left behind'));
    if (interrupted?.aborted) interrupt();
    interrupted?.addEventListener('abort', interrupt, { signal: ended.signal });
  });
  reached.catch(() => {});
  return { reached, cancel: () => ended.abort() };
}

function tooLate(agent: Agent, peer: IpAddress, timeoutMs: number): IpseckitError {
  const last = agent.lastSent(peer);
  const times = (last?.retransmission ?? 0) + 1;
  const what =
    last === undefined ? 'nothing was sent yet' : `${last.message} was sent ${times} times and not answered`;
  return new IpseckitError('NO_RESPONSE', `${peer} was not up within ${timeoutMs / 1000} s: ${what}`, {
    next: 'check the address, that UDP 500 and 4500 pass, and that the peer has a policy for this host; --timeout waits longer',
  });
}

function isFailure(error: unknown): error is NegotiationFailure {
  return typeof error === 'object' && error !== null && 'windowsCode' in error;
}
