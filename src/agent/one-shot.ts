import type { PairId } from '../driver/api.js';
import type { NegotiationFailure } from '../ike/api.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import type { Configuration } from '../wire/isakmp/transaction.js';
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
 * Puts one ad-hoc tunnel in force on a started agent, beside what is there and in place of one of its name, and negotiates
 * all its pairs. Throws `NegotiationError`, or `IpseckitError` (NO_RESPONSE, INTERRUPTED); the tunnel's filters stay in
 * force (traffic is held, not leaked) until the caller takes them away.
 */
export async function bringUp(agent: Agent, tunnel: TunnelSpec, patience: Patience): Promise<TunnelUp> {
  await putInForce(agent, tunnel);
  if (outboundOf(agent, tunnel).length === 0) throw whyNothingOf(agent, tunnel);
  return withPatience(agent, tunnel, patience, async reached => {
    if (tunnel.modeConfig === undefined) return negotiateAll(agent, tunnel, reached);
    const configuration = await Promise.race([agent.connect(tunnel.local, tunnel.peer), reached]);
    const configured = configuredTunnel(tunnel, configuration);
    await putInForce(agent, configured);
    return negotiateAll(agent, configured, reached);
  });
}

/** The same for a tunnel that was up, whose gateway has just configured it otherwise. `tunnel` is as it was asked for. */
export function bringUpAnew(
  agent: Agent,
  tunnel: TunnelSpec,
  configuration: Configuration,
  patience: Patience,
): Promise<TunnelUp> {
  const configured = configuredTunnel(tunnel, configuration);
  return withPatience(agent, tunnel, patience, async reached => {
    await putInForce(agent, configured);
    return negotiateAll(agent, configured, reached);
  });
}

/** Why a tunnel in force has no filter: another one has its traffic, or its own address is not there. */
function whyNothingOf(agent: Agent, tunnel: TunnelSpec): IpseckitError {
  const rules = agent.sources.find(source => isOf(source, tunnel.name))?.policy.rules ?? [];
  const covered = agent.notes().find(note => rules.includes(note.rule) && note.covered !== undefined);
  if (covered?.covered === undefined)
    return new IpseckitError('ENVIRONMENT', `${tunnel.local} is not an address of this host`, {
      next: '"ip address" shows its addresses; --local chooses another',
    });
  const { policy } = covered.covered.by.source;
  return new IpseckitError(
    'CONFLICT',
    `a filter of '${policy.name}' has the traffic of this tunnel already`,
    {
      next: 'change that policy, or narrow the tunnel: --remote-net, --protocol, --remote-port',
    },
  );
}

/** Takes the filters of a tunnel away; the agent deletes its pairs. */
export async function takeDown(agent: Agent, name: string): Promise<void> {
  const others = agent.sources.filter(source => !isOf(source, name));
  // One that was never put in force leaves everything as it is.
  if (others.length < agent.sources.length) await agent.setSources(others);
}

function putInForce(agent: Agent, tunnel: TunnelSpec): Promise<void> {
  const others = agent.sources.filter(source => !isOf(source, tunnel.name));
  return agent.setSources([...others, tunnelSource(tunnel, agent.families)]);
}

function isOf({ origin, policy }: PolicySource, name: string): boolean {
  return origin === 'tunnel' && policy.name === name;
}

async function negotiateAll(agent: Agent, tunnel: TunnelSpec, reached: Promise<never>): Promise<TunnelUp> {
  const pairs: PairId[] = [];
  // One after the other: the first negotiation brings the main mode that the others share.
  for (const { filter } of outboundOf(agent, tunnel))
    pairs.push(await Promise.race([agent.negotiate(filter.id, tunnel.local, tunnel.peer), reached]));
  return { pairs, tunnel };
}

async function withPatience<T>(
  agent: Agent,
  { peer }: TunnelSpec,
  patience: Patience,
  work: (reached: Promise<never>) => Promise<T>,
): Promise<T> {
  const limit = patienceLimit(agent, peer, patience);
  try {
    return await work(limit.reached);
  } catch (error) {
    throw isFailure(error) ? new NegotiationError(error) : error;
  } finally {
    limit.cancel();
  }
}

/** What has to be negotiated. */
function outboundOf(agent: Agent, { name }: TunnelSpec): ActiveFilter[] {
  return agent
    .filters()
    .filter(
      ({ source, filter }) =>
        isOf(source, name) && filter.direction === 'outbound' && filter.action === 'secure',
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
  const times = (last?.sent.retransmission ?? 0) + 1;
  const what =
    last === undefined
      ? 'nothing was sent yet'
      : `${last.sent.message} was sent ${times === 1 ? 'once' : `${times} times`} and not answered`;
  const why = last?.undelivered === undefined ? '' : ` (ICMP ${last.undelivered.detail})`;
  return new IpseckitError('NO_RESPONSE', `${peer} was not up within ${timeoutMs / 1000} s: ${what}${why}`, {
    next: 'check the address, that UDP 500 and 4500 pass, and that the peer has a policy for this host; --timeout waits longer',
  });
}

function isFailure(error: unknown): error is NegotiationFailure {
  return typeof error === 'object' && error !== null && 'windowsCode' in error;
}
