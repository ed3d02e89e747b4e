/** What a policy of ours would have done in the place of each side: its own code weighs the messages of the capture. */
import { ActivePolicy } from '../../agent/active-policy.js';
import { failedTest, printTest } from '../../crypto/certificates/chain.js';
import { noCredentials } from '../../crypto/certificates/credentials.js';
import { aggressiveOffer } from '../../ike/aggressive-mode-initiator.js';
import type { MainModePolicy } from '../../ike/api.js';
import { authenticationOffers, certificateMethods, nothingToOffer } from '../../ike/auth/offers.js';
import { printMismatches } from '../../ike/failures.js';
import {
  acceptMainMode,
  chooseMainMode,
  type MainModeVerdict,
  mainModeSa,
} from '../../ike/main-mode-proposal.js';
import { chooseAnswer } from '../../ike/responder-policy.js';
import { type ExpandContext, expandPolicies } from '../../policy/expand.js';
import type { Policy } from '../../policy/model.js';
import { printIkeProposal } from '../../policy/proposals.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { type Judging, judgeCertificate } from './certificates.js';
import { otherRole } from './message-record.js';
import type { NegotiationReplay } from './negotiation.js';
import { quickModeViews } from './policy-quick-mode.js';
import { provedWith } from './preshared-proof.js';
import { namedForXauth, proposalDecision } from './proposals.js';
import type { PolicyView, Role } from './report.js';

export interface PolicyAtHand {
  readonly policy: Policy;
  /** Roles are looked at from these addresses only; from both sides when absent. */
  readonly local?: readonly IpAddress[];
  /** Only this role is looked at; both when absent. */
  readonly as?: Role;
  readonly context: Omit<ExpandContext, 'localAddresses'>;
}

/**
 * As the responder that answers and as the initiator that asks, in each phase that could be read. A policy that knows only
 * one of the two hosts is looked at from that side alone. `startedAtMs` is when the capture began.
 */
export function policyViews(
  negotiation: NegotiationReplay,
  at: PolicyAtHand,
  startedAtMs: number,
  judging: Judging | undefined,
): PolicyView[] {
  const roles = (['responder', 'initiator'] as const).filter(as => at.as === undefined || at.as === as);
  const sides = roles.flatMap(as => {
    const local = negotiation[as].address;
    const peer = negotiation[otherRole[as]].address;
    if (at.local !== undefined && !at.local.includes(local)) return [];
    const sources = [{ origin: 'assigned' as const, policy: at.policy }];
    const { filters } = expandPolicies(sources, { ...at.context, localAddresses: [{ address: local }] });
    const active = new ActivePolicy(sources, filters);
    const credentials = judging?.credentials ?? noCredentials;
    const ways = active.mainModes(local, peer).map(way => ({ ...way, credentials }));
    const policy = likeliest(negotiation, as, ways);
    if (policy === undefined) {
      const text = `would have refused: no rule covers ${peer}`;
      return [{ covered: false, views: [view(as, 'main mode', false, text)] }];
    }
    const views = [
      ...mainModeViews(negotiation, as, policy),
      ...authenticationViews(negotiation, as, policy, startedAtMs, judging),
      ...quickModeViews(negotiation, as, active),
    ];
    return [{ covered: true, views }];
  });
  const anyCovered = sides.some(({ covered }) => covered);
  return sides.filter(({ covered }) => covered || !anyCovered).flatMap(({ views }) => views);
}

/** Of several rules with the peer, the one that the negotiation was for as far as it tells; the first one otherwise. */
function likeliest(
  { phase1: { offer, answer } }: NegotiationReplay,
  as: Role,
  ways: readonly MainModePolicy[],
): MainModePolicy | undefined {
  const seen = as === 'responder' ? offer?.payload : answer;
  if (seen === undefined) return ways[0];
  const answered = chooseAnswer(seen, ways);
  return 'policy' in answered ? answered.policy : ways[0];
}

function view(
  as: Role,
  phase: PolicyView['phase'],
  accepts: boolean,
  text: string,
  mismatches: PolicyView['mismatches'] = [],
): PolicyView {
  return { as, phase, accepts, text, mismatches };
}

function mainModeViews({ phase1 }: NegotiationReplay, as: Role, policy: MainModePolicy): PolicyView[] {
  const { offer, answer, mode, speaksXauth } = phase1;
  const main = (accepts: boolean, text: string, mismatches: PolicyView['mismatches'] = []) => [
    view(as, 'main mode', accepts, text, mismatches),
  ];
  if (authenticationOffers(policy).length === 0)
    return main(false, `could not have negotiated: ${nothingToOffer(policy).text}`);
  const isAggressive = mode === 'aggressive';
  if (as === 'responder') {
    if (isAggressive && policy.aggressive !== true)
      return main(false, 'would have refused: the policy does not allow aggressive mode');
    if (offer === undefined) return [];
    const verdict = chooseMainMode(offer.payload, policy);
    if ('chosen' in verdict) return main(true, `would have chosen ${printVerdict(verdict)}`);
    const refused = namedForXauth(verdict.refused, speaksXauth);
    return main(false, `would have refused: no acceptable proposal: ${printMismatches(refused)}`, refused);
  }
  const only = policy.aggressive === true ? aggressiveOffer(policy) : undefined;
  const offers = proposalDecision(mainModeSa(policy, false, only), undefined).offered;
  const begins = mode !== 'unknown' && isAggressive !== (policy.aggressive === true);
  const how = begins ? `would have begun ${isAggressive ? 'main' : 'aggressive'} mode, and ` : 'would have ';
  const offering = `${how}offered ${offers.length} transforms (${policy.methods.map(printIkeProposal).join(', ')})`;
  if (answer === undefined) return main(true, offering);
  const verdict = acceptMainMode(answer, policy, only);
  if ('chosen' in verdict) return main(true, `${offering}; what the responder chose is among them`);
  const refused = namedForXauth(verdict.refused, speaksXauth);
  const text = `${offering}; what the responder chose is not among them: ${printMismatches(refused)}`;
  return main(false, text, refused);
}

function printVerdict({
  chosen,
  proposal,
  transform,
}: Extract<MainModeVerdict, { chosen: unknown }>): string {
  const { method, authentication, lifetimeSeconds } = chosen;
  return `proposal ${proposal.number} transform ${transform.number}: ${printIkeProposal(method)}, ${authentication.kind}, ${lifetimeSeconds} s`;
}

/** Whether the policy would have taken the other side's proof, as far as it could be read. */
function authenticationViews(
  { phase1 }: NegotiationReplay,
  as: Role,
  policy: MainModePolicy,
  startedAtMs: number,
  judging: Judging | undefined,
): PolicyView[] {
  const by = otherRole[as];
  const authentication = (accepts: boolean, text: string) => view(as, 'authentication', accepts, text);
  for (const method of policy.authentication) {
    if (method.kind !== 'preshared') continue;
    const proved = provedWith(phase1, by, method.key);
    if (proved !== undefined)
      return [
        authentication(
          proved,
          proved
            ? `would have accepted the ${by}: it proved itself with the preshared key of the policy`
            : `would have refused the ${by}: it proved itself with another preshared key`,
        ),
      ];
  }
  const authorities = certificateMethods(policy).map(({ authority }) => authority);
  if (judging === undefined || authorities.length === 0) return [];
  const verdict = judgeCertificate(phase1, by, startedAtMs, judging, authorities);
  if (verdict === undefined) return [];
  const failed = failedTest(verdict);
  const text =
    failed === undefined
      ? `would have accepted the certificate of the ${by}`
      : `would have refused the certificate of the ${by}: ${printTest(failed)}`;
  return [{ ...authentication(verdict.passed, text), certificateTests: verdict.tests }];
}
