/** A received message on its way to an exchange, and how exchanges pick its payloads. */
import type { IkeDatagram } from '../driver/api.js';
import {
  findPayload,
  type IsakmpHeader,
  type LocatedPayload,
  type PayloadChain,
} from '../wire/isakmp/message.js';
import type { PayloadKind, PayloadOf } from '../wire/isakmp/payloads.js';
import { ExchangeError } from './exchange-error.js';

/** `datagram.bytes` is a copy of our own, cut to the message's length. */
export interface Incoming {
  readonly header: IsakmpHeader;
  readonly datagram: IkeDatagram;
}

/** The payload of a kind the message must have. Throws `ExchangeError` (`malformed`). */
export function requirePayload<K extends PayloadKind>(
  chain: PayloadChain,
  kind: K,
): LocatedPayload<PayloadOf<K>> {
  const found = findPayload(chain, kind);
  if (found === undefined)
    throw new ExchangeError('malformed', `the message has no ${kind.toUpperCase()} payload`);
  return found;
}
