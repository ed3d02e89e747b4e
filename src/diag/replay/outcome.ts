/** Why a negotiation of others failed, in the words the engine has for its own. */
import type { FailureReason, NegotiationFailure } from '../../ike/api.js';
import { failure, reasonOfNotify } from '../../ike/failures.js';
import { nameOf, notifyTypes } from '../../wire/isakmp/numbers.js';
import type { ReplayEndpoint, Role } from './report.js';

/** Who talks: the initiator's side is `local`, as if it were ours. */
export interface Sides {
  readonly initiator: ReplayEndpoint;
  readonly responder: ReplayEndpoint;
}

/** What a silent side was asked. */
export interface Unanswered {
  readonly mode: 'main' | 'quick';
  /** `main mode 1`. */
  readonly message: string;
  readonly by: Role;
  readonly transmissions: number;
  readonly waitedSeconds: number;
  readonly preshared: boolean;
  readonly toNatPort: boolean;
}

/** An error notification in answer to `message`. `encrypted` when it could be read only with the key. */
export function refusal(
  sides: Sides,
  refused: {
    readonly mode: 'main' | 'quick';
    readonly by: Role;
    readonly message: string;
    readonly notifyType: number;
    readonly encrypted: boolean;
    readonly preshared: boolean;
  },
): NegotiationFailure {
  const { mode, by, message, notifyType, encrypted, preshared } = refused;
  const proving = preshared && /^(main mode 5|main mode 6|aggressive mode [23])$/.test(message);
  const doubtsKeys = proving && !encrypted && notifyType !== notifyTypes['NO-PROPOSAL-CHOSEN'];
  const orIdentity =
    notifyType === notifyTypes['INVALID-ID-INFORMATION'] ? ', or it does not accept the identity' : '';
  const doubt = doubtsKeys ? `: most likely the preshared keys differ${orIdentity}` : '';
  return failure({
    mode,
    ...hosts(sides),
    point: by === 'responder' ? 'peer' : 'me',
    reason: doubtsKeys ? 'preshared-keys-differ' : reasonOfNotify(notifyType),
    text: `${sides[by].address} answered ${nameOf(notifyTypes, notifyType)} to ${message}${doubt}`,
    message,
    notifyType,
  });
}

/** An answer to a message under a preshared key that cannot be read with the other side's key. */
export function unreadableAnswer(sides: Sides, by: Role, message: string): NegotiationFailure {
  return failure({
    mode: 'main',
    ...hosts(sides),
    point: by === 'responder' ? 'peer' : 'me',
    reason: 'preshared-keys-differ',
    text: `${sides[by].address} answered ${message} with a message that the key at hand cannot read: most likely the preshared keys differ`,
    message,
  });
}

/** Nobody answered. */
export function silence(sides: Sides, asked: Unanswered): NegotiationFailure {
  const { mode, message, by, transmissions, waitedSeconds, preshared, toNatPort } = asked;
  const silent = sides[by === 'initiator' ? 'responder' : 'initiator'].address;
  const times = `sent ${transmissions === 1 ? 'once' : `${transmissions} times`}, nothing within ${waitedSeconds.toFixed(1)} s`;
  const port = toNatPort ? ', or UDP port 4500 is blocked' : '';
  const proof = message === 'main mode 5' || message === 'aggressive mode 3';
  const reason: FailureReason = !proof
    ? 'no-response'
    : preshared
      ? 'preshared-keys-differ'
      : 'certificate-refused';
  const because = !proof
    ? ''
    : `: most likely ${preshared ? 'the preshared keys differ' : 'it does not accept the certificate'}${port}`;
  return failure({
    mode,
    ...hosts(sides),
    point: by === 'initiator' ? 'peer' : 'me',
    reason,
    text: `${silent} did not answer ${message} (${times})${because}`,
    message,
  });
}

function hosts({ initiator, responder }: Sides) {
  return { local: initiator.address, peer: responder.address };
}
