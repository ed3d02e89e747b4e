/** The record of one message of a capture while it is made. */
import { type IsakmpHeader, isEncrypted } from '../../wire/isakmp/message.js';
import { exchangeTypes, nameOf } from '../../wire/isakmp/numbers.js';
import type { CapturedDatagram } from './datagrams.js';
import type { ReplayMessage, Role } from './report.js';

export type MessageRecord = Omit<
  { -readonly [K in keyof ReplayMessage]: ReplayMessage[K] },
  'decisions' | 'retransmissions'
> & {
  readonly decisions: string[];
  readonly retransmissions: { packet: number; atSeconds: number }[];
};

export const otherRole: Readonly<Record<Role, Role>> = { initiator: 'responder', responder: 'initiator' };

/** Nothing is known of it but its header; `pieces` is how many fragments it came in. */
export function newRecord(
  { packet, atSeconds, source, destination }: CapturedDatagram,
  header: IsakmpHeader,
  from: Role,
  pieces: number,
): MessageRecord {
  return {
    packet,
    atSeconds,
    from,
    source,
    destination,
    name: nameOf(exchangeTypes, header.exchangeType).toLowerCase(),
    messageId: header.messageId.toString(16).padStart(8, '0'),
    bytes: header.length,
    encrypted: isEncrypted(header),
    fields: [],
    decisions: pieces === 0 ? [] : [`put together from ${pieces} fragments`],
    retransmissions: [],
  };
}

/** When it was sent for the last time. */
export function lastSeconds({ atSeconds, retransmissions }: ReplayMessage): number {
  return retransmissions.at(-1)?.atSeconds ?? atSeconds;
}
