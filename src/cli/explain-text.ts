import type { Explanation, NamedFilter, Outcome } from '../policy/explain.js';
import { printPacket } from '../policy/packet.js';

/** An explanation line by line. */
export function printExplanation({
  packet,
  outcome,
  decidedBy,
  nearer,
  nearerLeftOut,
}: Explanation): string[] {
  return [
    printPacket(packet),
    `    ${outcomeText(outcome, packet.direction)}`,
    ...(decidedBy === undefined ? [] : [`    decided by ${filterText(decidedBy)}`]),
    ...nearer.flatMap(near => [`    before it, ${filterText(near)}`, `        ${near.lacked.join('; ')}`]),
    ...(nearerLeftOut === 0 ? [] : [`    … and ${nearerLeftOut} more that come near`]),
  ];
}

/** What happens, in a few words: for tables. */
export function outcomeWord(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'exempt':
      return 'passes (exempt)';
    case 'unfiltered':
      return 'passes (no filter)';
    case 'permit':
      return 'passes (permit)';
    case 'block':
      return 'blocked';
    case 'secure':
      return outcome.tunnelEndpoint === undefined
        ? `secured, ${outcome.methods[0] ?? ''}`
        : `secured in a tunnel to ${outcome.tunnelEndpoint}, ${outcome.methods[0] ?? ''}`;
  }
}

function outcomeText(outcome: Outcome, direction: 'inbound' | 'outbound'): string {
  switch (outcome.kind) {
    case 'exempt':
      return `passes in clear: exempt from all filters, ${outcome.what}`;
    case 'unfiltered':
      return 'passes in clear: no filter is about it';
    case 'permit':
      return 'passes in clear: permitted';
    case 'block':
      return 'dropped without an answer: blocked';
    case 'secure': {
      const { methods, authentication, mode, tunnelEndpoint, clear, allowFallback } = outcome;
      const how = `${mode} mode${tunnelEndpoint === undefined ? '' : ` in the tunnel to ${tunnelEndpoint}`}, ${methods.join(' or ')}, peers authenticate by ${authentication.join(' or ')}`;
      const fallback = allowFallback ? '; in clear towards a peer that gives no sign of IKE' : '';
      if (direction === 'outbound')
        return `secured: ${how}; without SAs it waits for a negotiation${fallback}`;
      return clear === 'accepted'
        ? `accepted in clear, the answer is secured: ${how}`
        : `must come secured: ${how}; in clear it is dropped${fallback === '' ? '' : ', but for a peer with a soft SA'}`;
    }
  }
}

function filterText({ policy, rule, filter, written, direction, action, weight }: NamedFilter): string {
  const origin = written === undefined ? '' : `, filter '${written}'`;
  return `policy '${policy}', rule '${rule}'${origin} (${action}): ${direction} ${filter}, weight ${weight}`;
}
