import type { PairId } from '../driver/api.js';
import type { NegotiationFailure } from '../ike/api.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Agent } from './agent.js';
import { NegotiationError } from './failure.js';
import { type TunnelSpec, tunnelSource } from './tunnel.js';

/** How long to wait, and what ends the waiting earlier. */
export interface Patience {
  readonly timeoutMs: number;
  readonly interrupted?: AbortSignal;
}

/**
 * Puts one ad-hoc tunnel in force on a started agent, beside what is there, and negotiates all its pairs.
 * Throws `NegotiationError`, or `IpseckitError` (NO_RESPONSE, INTERRUPTED); the tunnel's filters stay in force
 * (traffic is held, not leaked) until the caller takes them away.
 */
export async function bringUp(
  agent: Agent,
  tunnel: TunnelSpec,
  patience: Patience,
): Promise<readonly PairId[]> {
  const source = tunnelSource(tunnel);
  await agent.setSources([...agent.sources, source]);
  const outbound = agent
    .filters()
    .filter(active => active.source === source && active.filter.direction === 'outbound');
  if (outbound.length === 0)
    throw new IpseckitError('ENVIRONMENT', `${tunnel.local} is not an address of this host`, {
      next: '"ip address" shows its addresses; --local chooses another',
    });
  const limit = patienceLimit(agent, tunnel.peer, patience);
  try {
    const pairs: PairId[] = [];
    // One after the other: the first negotiation brings the main mode that the others share.
    for (const { filter } of outbound)
      pairs.push(await Promise.race([agent.negotiate(filter.id, tunnel.local, tunnel.peer), limit.reached]));
    return pairs;
  } catch (error) {
    throw isFailure(error) ? new NegotiationError(error) : error;
  } finally {
    limit.cancel();
  }
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
