import type { PairId } from '../driver/api.js';
import type { NegotiationFailure } from '../ike/api.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { ActiveFilter } from './active-policy.js';
import type { Agent } from './agent.js';
import { NegotiationError } from './failure.js';
import { type TunnelSpec, tunnelSource } from './tunnel.js';

/**
 * Puts one ad-hoc tunnel in force on a started agent, beside what is there, and negotiates all its pairs.
 * Throws `NegotiationError`, or `IpseckitError` (NO_RESPONSE) after `timeoutMs`; the tunnel's filters stay in
 * force (traffic is held, not leaked) until the caller takes them away.
 */
export async function bringUp(
  agent: Agent,
  tunnel: TunnelSpec,
  timeoutMs: number,
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
  return negotiateAll(agent, outbound, tunnel.local, tunnel.peer, timeoutMs);
}

async function negotiateAll(
  agent: Agent,
  filters: readonly ActiveFilter[],
  local: IpAddress,
  peer: IpAddress,
  timeoutMs: number,
): Promise<readonly PairId[]> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () =>
        reject(
          new IpseckitError('NO_RESPONSE', `${peer} was not up within ${timeoutMs / 1000} s`, {
            next: 'the steps above show how far it came; --timeout gives it longer',
          }),
        ),
      timeoutMs,
    );
  });
  try {
    const pairs: PairId[] = [];
    // One after the other: the first negotiation brings the main mode that the others share.
    for (const { filter } of filters)
      pairs.push(await Promise.race([agent.negotiate(filter.id, local, peer), tooLate]));
    return pairs;
  } catch (error) {
    throw isFailure(error) ? new NegotiationError(error) : error;
  } finally {
    clearTimeout(timer);
  }
}

function isFailure(error: unknown): error is NegotiationFailure {
  return typeof error === 'object' && error !== null && 'windowsCode' in error;
}
