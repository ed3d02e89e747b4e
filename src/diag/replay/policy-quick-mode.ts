/** What a policy of ours would have offered or chosen in the quick modes of a negotiation. */
import type { ActivePolicy } from '../../agent/active-policy.js';
import { encapsulationOf, requestedEncapsulation } from '../../ike/encapsulation.js';
import { printMismatches } from '../../ike/failures.js';
import {
  acceptQuickMode,
  chooseQuickMode,
  offerableTogether,
  type QuickModeOffer,
} from '../../ike/quick-mode-proposal.js';
import { printSecurityMethod } from '../../policy/proposals.js';
import { mirrorSelector } from '../../wire/ip/selector.js';
import { encapsulationModes } from '../../wire/isakmp/numbers.js';
import { otherRole } from './message-record.js';
import type { NegotiationReplay } from './negotiation.js';
import type { QuickModeReplay } from './quick-mode.js';
import type { PolicyView, Role } from './report.js';

/** In the place of one side, of each quick mode that could be read: as who asks, and as who is asked. */
export function quickModeViews(negotiation: NegotiationReplay, as: Role, active: ActivePolicy): PolicyView[] {
  return [...negotiation.quickModes.values()].flatMap(quickMode =>
    oneView(negotiation, as, active, quickMode),
  );
}

function oneView(
  negotiation: NegotiationReplay,
  as: Role,
  active: ActivePolicy,
  quickMode: QuickModeReplay,
): PolicyView[] {
  const { method, nat } = negotiation.phase1;
  const hasNat = nat?.initiator === true || nat?.responder === true;
  const request = quickMode.request(hasNat);
  if (request === undefined || method === undefined) return [];
  const asks = quickMode.initiator === as;
  const found = active.quickMode({
    local: negotiation[as].address,
    peer: negotiation[otherRole[as]].address,
    mode: request.mode,
    selector: asks ? request.selector : mirrorSelector(request.selector),
  });
  const quick = (accepts: boolean, text: string, mismatches: PolicyView['mismatches'] = []): PolicyView[] => [
    { as, phase: 'quick mode', accepts, text, mismatches },
  ];
  if ('refused' in found)
    return quick(false, `would have ${asks ? 'asked for something else' : 'refused'}: ${found.refused}`);
  // The drafts have numbers of their own.
  const isDraft = (requestedEncapsulation(request.sa) ?? 0) >= encapsulationModes['UDP-tunnel (draft)'];
  const udp = hasNat ? (isDraft ? 'draft02' : 'rfc') : undefined;
  const own: QuickModeOffer = {
    methods: asks ? offerableTogether(found.methods, method.group) : found.methods,
    encapsulation: encapsulationOf(request.mode, udp),
    mainModeGroup: method.group,
  };
  if (!asks) {
    const verdict = chooseQuickMode(request.sa, own, request.keyExchange);
    if ('chosen' in verdict)
      return quick(true, `would have chosen ${printSecurityMethod(verdict.chosen.method)}`);
    const text = `would have refused: no acceptable proposal: ${printMismatches(verdict.refused)}`;
    return quick(false, text, verdict.refused);
  }
  const offering = `would have offered ${own.methods.map(printSecurityMethod).join(', ')}`;
  const answer = quickMode.answer();
  if (answer === undefined) return quick(true, offering);
  const verdict = acceptQuickMode(answer.sa, own, answer.keyExchange);
  if ('chosen' in verdict) return quick(true, `${offering}; what was chosen is among them`);
  const text = `${offering}; what was chosen is not among them: ${printMismatches(verdict.refused)}`;
  return quick(false, text, verdict.refused);
}
