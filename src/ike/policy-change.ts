/** What of the SAs there are does not survive a change of policy. */
import type { PolicyChange } from './api.js';
import type { Context } from './context.js';
import { endTogether } from './deletion.js';
import { isEstablished, type MainMode } from './main-mode.js';
import { closeMainMode } from './main-mode-life.js';
import type { PairRecord } from './quick-mode.js';

/** SAs that were made under a policy that holds no longer. */
export interface StaleAssociations {
  readonly pairs: readonly PairRecord[];
  /** Those being negotiated too. */
  readonly mainModes: readonly MainMode[];
}

/** A pair is stale with its filter, and with the policy its peer was authenticated under, whatever became of that main mode. */
export function staleUnder({ pairs, mainModes }: Context, change: PolicyChange): StaleAssociations {
  return {
    pairs: pairs
      .all()
      .filter(
        ({ pair, peer, policy, mainModePolicy }) =>
          !change.keepsFilter(policy.filterId) ||
          !change.keepsMainMode({ local: pair.local, peer }, mainModePolicy),
      ),
    mainModes: mainModes.all().filter(mainMode => !change.keepsMainMode(mainMode, mainMode.policy)),
  };
}

/** Ends them, and tells the peers of those that were complete. */
export function endStale(context: Context, { pairs, mainModes }: StaleAssociations, reason: string): void {
  // None of them serves what is begun anew meanwhile.
  for (const mainMode of mainModes) mainMode.retired = true;
  for (const mainMode of mainModes) if (!isEstablished(mainMode)) closeMainMode(context, mainMode);
  endTogether(context, pairs, mainModes.filter(isEstablished), reason);
}
