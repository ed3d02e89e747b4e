/** What main mode computes: its keys, and the hashes that prove who is talking (RFC 2409 5). */
import type { GroupId, HashId } from '../crypto/algorithms.js';
import { isWeakKey } from '../crypto/des-keys.js';
import {
  agree,
  checkPublicValue,
  type DhKeyPair,
  generateKeyPair,
  InvalidPublicValue,
} from '../crypto/dh.js';
import { ikeCipherKey, presharedSkeyid, prf, signatureSkeyid, skeyidFamily } from '../crypto/prf.js';
import { ExchangeError } from './exchange-error.js';
import type { ExchangedValues, MainMode, MainModeChoice, MainModeKeys } from './main-mode.js';
import type { Nonces } from './quick-mode.js';

/** g^xy. Throws `ExchangeError` (`invalid-key-exchange`) on an unusable public value. */
export function agreeOrRefuse(own: DhKeyPair, peerValue: Uint8Array): Uint8Array {
  return orRefuse(() => agree(own, peerValue));
}

/** What a responder makes of the initiator's public value; of one that cannot be used, nothing. Throws the same. */
export function answerPublicValue(
  group: GroupId,
  peerValue: Uint8Array,
  random: (length: number) => Uint8Array,
): { readonly own: DhKeyPair; readonly sharedSecret: Uint8Array } {
  orRefuse(() => checkPublicValue(group, peerValue));
  const own = generateKeyPair(group, random);
  return { own, sharedSecret: agreeOrRefuse(own, peerValue) };
}

function orRefuse<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InvalidPublicValue) throw new ExchangeError('invalid-key-exchange', error.message);
    throw error;
  }
}

/** All keys of a main mode. Throws `ExchangeError` (`invalid-key-exchange`) when one is a weak DES key. */
export function deriveMainModeKeys(
  mainMode: MainMode,
  { method, authentication }: MainModeChoice,
  nonces: Nonces,
  sharedSecret: Uint8Array,
): MainModeKeys {
  const { hash, encryption } = method;
  const skeyid = skeyidOf(hash, authentication, nonces, sharedSecret);
  const { initiatorCookie, responderCookie } = mainMode;
  const family = skeyidFamily(hash, skeyid, sharedSecret, initiatorCookie, responderCookie);
  const cipherKey = ikeCipherKey(hash, family.e, encryption);
  if (isWeakKey(encryption, cipherKey))
    throw new ExchangeError('invalid-key-exchange', 'the derived key is a weak DES key');
  return { method, skeyid, derivationKey: family.d, authenticationKey: family.a, cipherKey };
}

function skeyidOf(
  hash: HashId,
  authentication: MainModeChoice['authentication'],
  { initiator, responder }: Nonces,
  sharedSecret: Uint8Array,
): Uint8Array {
  if (authentication.kind === 'certificate') return signatureSkeyid(hash, initiator, responder, sharedSecret);
  const key = Buffer.from(authentication.key.reveal(), 'utf8');
  return presharedSkeyid(hash, key, initiator, responder);
}

/** HASH_I or HASH_R. `saBody` is the initiator's SA payload as it was on the wire. */
export function identityHash(
  mainMode: Pick<MainMode, 'initiatorCookie' | 'responderCookie'>,
  sender: 'initiator' | 'responder',
  { hash, skeyid }: { readonly hash: HashId; readonly skeyid: Uint8Array },
  values: ExchangedValues,
  saBody: Uint8Array,
  idBody: Uint8Array,
): Uint8Array {
  const { initiatorCookie, responderCookie } = mainMode;
  const order =
    sender === 'initiator'
      ? [values.initiator, values.responder, initiatorCookie, responderCookie]
      : [values.responder, values.initiator, responderCookie, initiatorCookie];
  return prf(hash, skeyid, ...order, saBody, idBody);
}
