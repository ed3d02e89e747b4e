/** What IKE asks of the agent: the policy in force, and how far pairs are in use. */
import type { PairId, PairStatistics } from '../driver/api.js';
import type { IkeEnvironment, IkeOptions, MainModePolicy } from '../ike/api.js';
import type { ActivePolicy } from './active-policy.js';
import type { AgentDependencies } from './agent.js';

/** A pair without traffic for so long ends, unless the options say otherwise: what Windows does without `SAIdleTime`. */
const defaultIdleSeconds = 300;

/** Activity read once serves so long: IKE asks for one pair after the other. */
const activityMs = 1_000;

type Dependencies = Pick<
  AgentDependencies,
  'driver' | 'clock' | 'random' | 'credentials' | 'fetchCrls' | 'ike'
>;

/** `policy` and `isWatched`, whether somebody watches keys, are asked for what holds now. */
export function ikeEnvironment(
  deps: Dependencies,
  policy: () => ActivePolicy,
  isWatched: () => boolean,
): IkeEnvironment {
  /** A rule's own, or this machine's. */
  const withCredentials = (found: MainModePolicy): MainModePolicy => {
    const credentials = found.credentials ?? deps.credentials?.();
    return credentials === undefined ? found : { ...found, credentials };
  };
  let activity = { readAtMs: 0, byPair: new Map<PairId, PairStatistics>() };
  const activityOf = (pairId: PairId): PairStatistics | undefined => {
    const nowMs = deps.clock.nowMs();
    if (nowMs - activity.readAtMs >= activityMs) {
      const all = deps.driver.pairStatistics();
      activity = { readAtMs: nowMs, byPair: new Map(all.map(pair => [pair.pairId, pair])) };
    }
    return activity.byPair.get(pairId);
  };
  return {
    policy: {
      mainModes: (local, peer) => policy().mainModes(local, peer).map(withCredentials),
      mainModeOf: filterId => {
        const found = policy().mainModeOf(filterId);
        return found && withCredentials(found);
      },
      quickMode: request => policy().quickMode(request),
    },
    random: length => deps.random(length),
    lastInboundAtMs: pairId => activityOf(pairId)?.lastInboundAtMs,
    lastOutboundAtMs: pairId => activityOf(pairId)?.lastOutboundAtMs,
    calendarMs: atMs => deps.clock.calendarMs(atMs),
    options: ikeOptions({ ...deps.ike, fetchCrls: deps.fetchCrls !== undefined }, isWatched),
  };
}

/** The options as given; keys are exported while somebody watches them, too. */
function ikeOptions(given: IkeOptions, isWatched: () => boolean): IkeOptions {
  return {
    idleSeconds: defaultIdleSeconds,
    ...given,
    get exportKeys() {
      return given.exportKeys === true || isWatched();
    },
  };
}
