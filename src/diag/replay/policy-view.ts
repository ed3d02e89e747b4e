/** What a policy of ours would have done in the place of each side: its own code weighs the messages of the capture. */
import { ActivePolicy } from '../../agent/active-policy.js';
import type { Credentials } from '../../crypto/certificates/credentials.js';
import type { AttributeMismatch, MainModePolicy } from '../../ike/api.js';
import { authenticationOffers, nothingToOffer } from '../../ike/auth/offers.js';
import { encapsulationOf, requestedEncapsulation } from '../../ike/encapsulation.js';
import { printMismatches } from '../../ike/failures.js';
import {
  acceptMainMode,
  chooseMainMode,
  type MainModeVerdict,
  mainModeSa,
} from '../../ike/main-mode-proposal.js';
import { chooseQuickMode } from '../../ike/quick-mode-proposal.js';
import { type ExpandContext, expandPolicies } from '../../policy/expand.js';
import type { Policy } from '../../policy/model.js';
import { printIkeProposal, printSecurityMethod } from '../../policy/proposals.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { mirrorSelector } from '../../wire/ip/selector.js';
import { encapsulationModes } from '../../wire/isakmp/numbers.js';
import type { NegotiationReplay } from './negotiation.js';
import { proposalDecision } from './proposals.js';
import type { PolicyView, Role } from './report.js';

export interface PolicyAtHand {
  readonly policy: Policy;
  /** Roles are looked at from these addresses only; from both sides when absent. */
  readonly local?: readonly IpAddress[];
  readonly credentials?: Credentials;
  readonly context: Omit<ExpandContext, 'localAddresses'>;
}

/**
 * As the responder that answers and as the initiator that asks, in each phase that could be read. A policy that knows only
 * one of the two hosts is looked at from that side alone.
 */
export function policyViews(negotiation: NegotiationReplay, at: PolicyAtHand): PolicyView[] {
  const sides = (['responder', 'initiator'] as const).flatMap(as => {
    const local = negotiation[as].address;
    const peer = negotiation[as === 'initiator' ? 'responder' : 'initiator'].address;
    if (at.local !== undefined && !at.local.includes(local)) return [];
    const sources = [{ origin: 'assigned' as const, policy: at.policy }];
    const { filters } = expandPolicies(sources, { ...at.context, localAddresses: [{ address: local }] });
    const active = new ActivePolicy(sources, filters);
    const mainMode = mainModeView(negotiation, as, active, at);
    return [
      {
        covered: active.mainMode(local, peer) !== undefined,
        views: [...(mainMode === undefined ? [] : [mainMode]), ...quickModeViews(negotiation, as, active)],
      },
    ];
  });
  const anyCovered = sides.some(({ covered }) => covered);
  return sides.filter(({ covered }) => covered || !anyCovered).flatMap(({ views }) => views);
}

function view(
  as: Role,
  phase: PolicyView['phase'],
  accepts: boolean,
  text: string,
  mismatches: readonly AttributeMismatch[] = [],
): PolicyView {
  return { as, phase, accepts, text, mismatches };
}

function mainModeView(
  negotiation: NegotiationReplay,
  as: Role,
  active: ActivePolicy,
  { credentials }: PolicyAtHand,
): PolicyView | undefined {
  const { offer, answer } = negotiation.phase1;
  const peer = negotiation[as === 'initiator' ? 'responder' : 'initiator'].address;
  const found = active.mainMode(negotiation[as].address, peer);
  if (found === undefined) return view(as, 'main mode', false, `would have refused: no rule covers ${peer}`);
  const policy: MainModePolicy = credentials === undefined ? found : { ...found, credentials };
  if (authenticationOffers(policy).length === 0)
    return view(as, 'main mode', false, `could not have negotiated: ${nothingToOffer(policy).text}`);
  if (as === 'responder') {
    if (offer === undefined) return undefined;
    const verdict = chooseMainMode(offer.payload, policy);
    if ('refused' in verdict) return refused(as, 'main mode', verdict.refused);
    return view(as, 'main mode', true, `would have chosen ${printVerdict(verdict)}`);
  }
  const offers = proposalDecision(mainModeSa(policy, false), undefined).offered;
  const offering = `would have offered ${offers.length} transforms (${policy.methods.map(printIkeProposal).join(', ')})`;
  if (answer === undefined) return view(as, 'main mode', true, offering);
  const verdict = acceptMainMode(answer, policy);
  if ('chosen' in verdict)
    return view(as, 'main mode', true, `${offering}; what the responder chose is among them`);
  return view(
    as,
    'main mode',
    false,
    `${offering}; what the responder chose is not among them: ${printMismatches(verdict.refused)}`,
    verdict.refused,
  );
}

function printVerdict({
  chosen,
  proposal,
  transform,
}: Extract<MainModeVerdict, { chosen: unknown }>): string {
  const { method, authentication, lifetimeSeconds } = chosen;
  return `proposal ${proposal.number} transform ${transform.number}: ${printIkeProposal(method)}, ${authentication.kind}, ${lifetimeSeconds} s`;
}

function refused(as: Role, phase: PolicyView['phase'], mismatches: readonly AttributeMismatch[]): PolicyView {
  return view(
    as,
    phase,
    false,
    `would have refused: no acceptable proposal: ${printMismatches(mismatches)}`,
    mismatches,
  );
}

function quickModeViews(negotiation: NegotiationReplay, as: Role, active: ActivePolicy): PolicyView[] {
  const { method } = negotiation.phase1;
  const { nat } = negotiation;
  const hasNat = nat?.initiator === true || nat?.responder === true;
  const [local, peer] = [
    negotiation[as].address,
    negotiation[as === 'initiator' ? 'responder' : 'initiator'].address,
  ];
  return [...negotiation.quickModes.values()].flatMap(quickMode => {
    const request = quickMode.request(hasNat);
    // Only the side that is asked chooses.
    if (request === undefined || method === undefined || quickMode.initiator === as) return [];
    const found = active.quickMode({
      local,
      peer,
      mode: request.mode,
      selector: mirrorSelector(request.selector),
    });
    if ('refused' in found) return [view(as, 'quick mode', false, `would have refused: ${found.refused}`)];
    // The drafts have numbers of their own.
    const isDraft = (requestedEncapsulation(request.sa) ?? 0) >= encapsulationModes['UDP-tunnel (draft)'];
    const udp = hasNat ? (isDraft ? 'draft02' : 'rfc') : undefined;
    const encapsulation = encapsulationOf(request.mode, udp);
    const verdict = chooseQuickMode(
      request.sa,
      { methods: found.methods, encapsulation, mainModeGroup: method.group },
      request.keyExchange,
    );
    if ('refused' in verdict) return [refused(as, 'quick mode', verdict.refused)];
    return [view(as, 'quick mode', true, `would have chosen ${printSecurityMethod(verdict.chosen.method)}`)];
  });
}
