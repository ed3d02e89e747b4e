/** Whether the sides of a negotiation proved themselves with a preshared key: neither hash takes the Diffie-Hellman secret. */
import { presharedSkeyid } from '../../crypto/prf.js';
import type { Secret } from '../../crypto/secret.js';
import { identityHash } from '../../ike/main-mode-keys.js';
import { bytesEqual } from '../../wire/bytes.js';
import type { Phase1Replay } from './phase1.js';
import type { Role } from './report.js';

/** Whether HASH_I or HASH_R was made with the key; `undefined` where the capture does not show it. */
export function provedWith(phase1: Phase1Replay, by: Role, key: Secret<string>): boolean | undefined {
  const { sides, method, offer, initiatorCookie, responderCookie, isPreshared } = phase1;
  const { initiator, responder } = sides;
  const { id, proof } = sides[by];
  if (!isPreshared || method === undefined || offer === undefined) return undefined;
  if (id === undefined || proof === undefined) return undefined;
  if (initiator.nonce === undefined || responder.nonce === undefined) return undefined;
  if (initiator.publicValue === undefined || responder.publicValue === undefined) return undefined;
  const { hash } = method;
  const values = { initiator: initiator.publicValue, responder: responder.publicValue };
  const skeyid = presharedSkeyid(hash, Buffer.from(key.reveal(), 'utf8'), initiator.nonce, responder.nonce);
  const cookies = { initiatorCookie, responderCookie };
  return bytesEqual(identityHash(cookies, by, { hash, skeyid }, values, offer.body, id.body), proof);
}
