/** Under which rule's policy a responder answers: several rules may cover one peer. */
import type { IkeDatagram } from '../driver/api.js';
import type { SaPayload } from '../wire/isakmp/payloads.js';
import type { MainModePolicy } from './api.js';
import { authenticationOffers, nothingToOffer } from './auth/offers.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { chooseMainMode, type MainModeVerdict } from './main-mode-proposal.js';

/** The policies that cover the peer and can be used. Throws `ExchangeError` that says why there is none. */
export function policiesFor(context: Context, { local, peer }: IkeDatagram): readonly MainModePolicy[] {
  const all = context.environment.policy.mainModes(local.address, peer.address);
  const [first] = all;
  if (first === undefined) throw new ExchangeError('no-policy', `no rule covers ${peer.address}`);
  const usable = all.filter(policy => authenticationOffers(policy).length > 0);
  if (usable.length > 0) return usable;
  const { reason, text } = nothingToOffer(first);
  throw new ExchangeError(reason, `the rule for ${peer.address} cannot be used: ${text}`);
}

type Chosen = Extract<MainModeVerdict, { chosen: unknown }>;
type Refused = Extract<MainModeVerdict, { refused: unknown }>;

/** What is answered to an offer, and under which policy. */
export interface Answer {
  readonly policy: MainModePolicy;
  readonly verdict: Chosen;
}

/**
 * Weighs the peer's offer. Which rule it has in mind it does not say: most likely the one that authenticates in the way
 * it offers first, and among those the first one. A refusal is that of the first policy.
 */
export function chooseAnswer(sa: SaPayload, policies: readonly MainModePolicy[]): Answer | Refused {
  const transforms = sa.proposals.flatMap(proposal => proposal.transforms);
  let best: Answer | undefined;
  let refused: Refused | undefined;
  for (const policy of policies) {
    const verdict = chooseMainMode(sa, policy);
    if ('refused' in verdict) refused ??= verdict;
    else if (
      best === undefined ||
      transforms.indexOf(verdict.transform) < transforms.indexOf(best.verdict.transform)
    )
      best = { policy, verdict };
  }
  return best ?? refused ?? { refused: [] };
}
