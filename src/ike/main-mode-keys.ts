/** What main mode computes: its keys, and the hashes that prove who is talking (RFC 2409 5). */

import { isWeakKey } from '../crypto/des-keys.js';
import { agree, type DhKeyPair, InvalidPublicValue } from '../crypto/dh.js';
import { ikeCipherKey, presharedSkeyid, prf, skeyidFamily } from '../crypto/prf.js';
import type { MainModeMethod } from '../policy/model.js';
import { ExchangeError } from './exchange-error.js';
import type { ExchangedValues, MainMode, MainModeKeys } from './main-mode.js';
import { presharedKeyOf } from './main-mode-proposal.js';
import type { Nonces } from './quick-mode.js';

/** g^xy. Throws `ExchangeError` (`invalid-key-exchange`) on an unusable public value. */
export function agreeOrRefuse(own: DhKeyPair, peerValue: Uint8Array): Uint8Array {
  try {
    return agree(own, peerValue);
  } catch (error) {
    if (error instanceof InvalidPublicValue) throw new ExchangeError('invalid-key-exchange', error.message);
    throw error;
  }
}

/** Keys of preshared key authentication. Throws `ExchangeError` when there is no such key, or a weak DES key. */
export function deriveMainModeKeys(
  mainMode: MainMode,
  method: MainModeMethod,
  nonces: Nonces,
  sharedSecret: Uint8Array,
): MainModeKeys {
  const secret = presharedKeyOf(mainMode.policy);
  if (secret === undefined) throw new ExchangeError('authentication-unsupported', 'no preshared key');
  const { hash, encryption } = method;
  const presharedKey = Buffer.from(secret.reveal(), 'utf8');
  const skeyid = presharedSkeyid(hash, presharedKey, nonces.initiator, nonces.responder);
  const { initiatorCookie, responderCookie } = mainMode;
  const family = skeyidFamily(hash, skeyid, sharedSecret, initiatorCookie, responderCookie);
  const cipherKey = ikeCipherKey(hash, family.e, encryption);
  if (isWeakKey(encryption, cipherKey))
    throw new ExchangeError('invalid-key-exchange', 'the derived key is a weak DES key');
  return { method, skeyid, derivationKey: family.d, authenticationKey: family.a, cipherKey };
}

/** HASH_I or HASH_R. `saBody` is the initiator's SA payload as it was on the wire. */
export function identityHash(
  mainMode: MainMode,
  sender: 'initiator' | 'responder',
  keys: MainModeKeys,
  values: ExchangedValues,
  saBody: Uint8Array,
  idBody: Uint8Array,
): Uint8Array {
  const { initiatorCookie, responderCookie } = mainMode;
  const order =
    sender === 'initiator'
      ? [values.initiator, values.responder, initiatorCookie, responderCookie]
      : [values.responder, values.initiator, responderCookie, initiatorCookie];
  return prf(keys.method.hash, keys.skeyid, ...order, saBody, idBody);
}
