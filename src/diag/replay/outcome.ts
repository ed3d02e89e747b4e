/** Why a negotiation of others failed, in the words the engine has for its own. */
import type { NegotiationFailure } from '../../ike/api.js';
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
  /** The other side's message that came again all the while, as if this one had never arrived. */
  readonly unheard?: string;
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
  // Message 2 of aggressive mode is judged before the other side has shown that it has the same keys.
  const readable = encrypted && message !== 'aggressive mode 2';
  const aboutKeys =
    notifyType !== notifyTypes['NO-PROPOSAL-CHOSEN'] &&
    !(encrypted && notifyType === notifyTypes['INVALID-ID-INFORMATION']);
  const doubtsKeys = proving && !readable && aboutKeys;
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

/** A proof that is answered by something encrypted which nobody can read, or not with the other side's key. */
export function unreadRefusal(
  sides: Sides,
  {
    by,
    message,
    preshared,
    hasKey,
  }: {
    readonly by: Role;
    readonly message: string;
    readonly preshared: boolean;
    readonly hasKey: boolean;
  },
): NegotiationFailure {
  const how = hasKey ? 'with a message that the key at hand cannot read' : 'with an encrypted notification';
  const because = preshared
    ? 'the preshared keys differ'
    : 'it does not accept the certificate, the signature or the identity; what it says can be read with the keys';
  return failure({
    mode: 'main',
    ...hosts(sides),
    point: by === 'responder' ? 'peer' : 'me',
    reason: preshared ? 'preshared-keys-differ' : 'authentication-failed',
    text: `${sides[by].address} answered ${message} ${how}: most likely ${because}`,
    message,
  });
}

/** Nobody answered. */
export function silence(sides: Sides, asked: Unanswered): NegotiationFailure {
  const { mode, message, by, transmissions, waitedSeconds, preshared, toNatPort, unheard } = asked;
  const silent = sides[by === 'initiator' ? 'responder' : 'initiator'].address;
  const times = `sent ${transmissions === 1 ? 'once' : `${transmissions} times`}, nothing within ${waitedSeconds.toFixed(1)} s`;
  const port = toNatPort ? ', or UDP port 4500 is blocked' : '';
  const proves = /^(main mode 5|aggressive mode 2)$/.test(message);
  const doubt = preshared ? 'the preshared keys differ' : 'it does not accept the certificate';
  const isClear = proves && unheard === undefined;
  const because =
    unheard !== undefined
      ? `, and kept sending ${unheard}: ${message} does not reach it${port}, or it refuses it silently${proves ? `, as when ${doubt}` : ''}`
      : proves
        ? `: most likely ${doubt}${port}`
        : '';
  return failure({
    mode,
    ...hosts(sides),
    point: by === 'initiator' ? 'peer' : 'me',
    reason: !isClear ? 'no-response' : preshared ? 'preshared-keys-differ' : 'certificate-refused',
    text: `${silent} did not answer ${message} (${times})${because}`,
    message,
  });
}

function hosts({ initiator, responder }: Sides) {
  return { local: initiator.address, peer: responder.address };
}
