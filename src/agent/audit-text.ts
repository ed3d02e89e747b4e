import type { AuditEvent } from '../ike/api.js';
import { prefixLengthOf, prefixToMask, type Selector } from '../wire/ip/selector.js';
import { isPolicyEvent, type PolicyEvent, policyEventIds, printPolicyEvent } from './policy-events.js';

/** What the agent's event file holds: of negotiations, and of the policies in force. */
export type LoggedEvent = AuditEvent | PolicyEvent;

const modeNames = {
  main: 'Key Exchange Mode (Main Mode)',
  quick: 'Data Protection Mode (Quick Mode)',
} as const;

const subjects: Readonly<Record<AuditEvent['id'], string>> = {
  541: 'Success IKE security association established.',
  542: 'Success IKE security association ended.',
  543: 'Success IKE security association ended.',
  544: 'Failure IKE security association establishment failed because peer could not authenticate.',
  545: 'Failure IKE peer authentication failed.',
  546: 'Failure IKE security association establishment failed because peer sent invalid proposal.',
  547: 'Failure IKE security association negotiation failed.',
};

/** Every id an event can have. */
export const eventIds: readonly number[] = [...Object.keys(subjects).map(Number), ...policyEventIds];

/** Any logged event as text. */
export function printEvent(event: LoggedEvent): string {
  return isPolicyEvent(event) ? printPolicyEvent(event) : printAuditEvent(event);
}

/** One audit event in the words and field order of the Windows security log (`monitoring.md` 3). */
export function printAuditEvent(event: AuditEvent): string {
  const lines = fieldsOf(event).map(([name, value]) => `  ${name}: ${value}`);
  return [`${event.id} ${subjects[event.id]}`, ...lines].join('\n');
}

function fieldsOf(event: AuditEvent): readonly (readonly [string, string])[] {
  const filter = ['Filter', filterText(event.filter, event)] as const;
  switch (event.id) {
    case 541:
      return [
        ['Mode', modeNames[event.mode]],
        ['Peer Identity', event.peerIdentity],
        filter,
        ['Parameters', parametersText(event)],
      ];
    case 542:
      return [
        ['Mode', modeNames.quick],
        filter,
        ['Inbound SPI', `${event.inboundSpi}`],
        ['Outbound SPI', `${event.outboundSpi}`],
        ['Reason', event.reason],
      ];
    case 543:
      return [['Mode', modeNames.main], filter, ['Reason', event.reason]];
    case 544:
    case 545:
      return [['Peer Identity', event.peerIdentity], filter, ['Reason', event.reason]];
    case 546:
      return [
        ['Mode', modeNames[event.mode]],
        filter,
        ['Attribute', event.attribute],
        ['Expected value', event.expected],
        ['Received value', event.received],
      ];
    case 547:
      return [
        ['Mode', modeNames[event.mode]],
        filter,
        ['Failure Point', event.failurePoint],
        ['Failure Reason', event.failureReason],
      ];
  }
}

function filterText(filter: Selector, event: AuditEvent): string {
  const side = (name: string, range: Selector['source']) => {
    const prefix = prefixLengthOf(range);
    const mask = prefix === undefined ? `through ${range.last}` : `Mask ${prefixToMask(prefix)}`;
    return `${name} IP Address ${range.first} ${mask}`;
  };
  return [
    side('Source', filter.source),
    side('Destination', filter.destination),
    `Protocol ${filter.protocol} Source Port ${filter.sourcePort} Destination Port ${filter.destinationPort}`,
    `IKE Local Addr ${event.local} IKE Peer Addr ${event.peer}`,
  ].join(' ');
}

function parametersText(event: AuditEvent & { readonly id: 541 }): string {
  if (event.mode === 'main') {
    const { encryption, hash, group, lifetimeSeconds } = event.parameters;
    return `Encryption Algorithm ${encryption}, Hash Algorithm ${hash}, Group ${group}, Lifetime (sec) ${lifetimeSeconds}`;
  }
  const { esp, hmac, ah, encapsulation, inboundSpi, outboundSpi, lifetimeSeconds, lifetimeKilobytes } =
    event.parameters;
  return [
    `ESP Algorithm ${esp}, HMAC Algorithm ${hmac}, AH Algorithm ${ah}, Encapsulation ${encapsulation}`,
    `InboundSpi ${inboundSpi}, OutBoundSpi ${outboundSpi}`,
    `Lifetime (sec) ${lifetimeSeconds}, Lifetime (kb) ${lifetimeKilobytes}`,
  ].join(', ');
}
