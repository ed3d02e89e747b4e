/** From a finished quick mode to the SA pair the driver installs: KEYMAT and how it is cut (RFC 2409 5.5). */
import { encryption, hash } from '../crypto/algorithms.js';
import { isWeakKey } from '../crypto/des-keys.js';
import { keymat } from '../crypto/prf.js';
import type { SaHalf, SaPair, Spi } from '../driver/api.js';
import type { SecurityMethod } from '../policy/model.js';
import { protocols } from '../wire/isakmp/numbers.js';
import type { Context } from './context.js';
import { ExchangeError } from './exchange-error.js';
import { type Limits, saLifetime } from './lifetimes.js';
import type { EstablishedMainMode } from './main-mode.js';
import { udpEncapsulation } from './nat-traversal.js';
import type { Nonces, OwnSpis, QuickMode } from './quick-mode.js';
import type { QuickModeChoice } from './quick-mode-proposal.js';

/** What both sides know once nonces, SPIs and public values are exchanged. */
export interface QuickModeResult {
  readonly choice: QuickModeChoice;
  readonly spis: OwnSpis;
  readonly nonces: Nonces;
  readonly limits: Limits;
  /** g^xy with PFS. */
  readonly sharedSecret?: Uint8Array;
  readonly natOriginal?: SaPair['natOriginal'];
}

/** The pair a quick mode negotiated. Throws `ExchangeError` on a weak DES key: the peers must negotiate again. */
export function derivePair(
  context: Context,
  mainMode: EstablishedMainMode,
  quickMode: QuickMode,
  result: QuickModeResult,
): SaPair {
  const { choice, spis } = result;
  const { method } = choice;
  const { filterId, mode, selector } = quickMode.policy;
  const udp = udpEncapsulation(mainMode);
  const half = (protocol: 'esp' | 'ah', spi: Spi | undefined) =>
    deriveHalf(mainMode, method, result, protocol, spi);
  const halves = (own: { esp?: Spi; ah?: Spi }) => [
    ...(method.esp ? [half('esp', own.esp)] : []),
    ...(method.ah ? [half('ah', own.ah)] : []),
  ];
  return {
    id: context.newPairId(),
    ...(filterId === undefined ? {} : { filterId }),
    local: mainMode.local,
    peer: mainMode.peerAddress,
    mode,
    selector,
    inbound: halves(spis),
    outbound: halves(choice.peerSpis),
    ...(method.extendedSequence ? { extendedSequence: true } : {}),
    ...(udp === undefined ? {} : { udpEncapsulation: udp }),
    ...(result.natOriginal === undefined ? {} : { natOriginal: result.natOriginal }),
    lifetime: saLifetime(result.limits, quickMode.role, context.jitter()),
  };
}

function deriveHalf(
  { state }: EstablishedMainMode,
  method: SecurityMethod,
  { nonces, sharedSecret }: QuickModeResult,
  protocol: 'esp' | 'ah',
  spi: Spi | undefined,
): SaHalf {
  if (spi === undefined) throw new ExchangeError('malformed', `no SPI for ${protocol.toUpperCase()}`);
  const cipher = protocol === 'esp' ? method.esp?.encryption : undefined;
  const integrity = protocol === 'esp' ? method.esp?.hash : method.ah?.hash;
  const row = cipher && encryption(cipher);
  const cipherBytes = row ? row.keyBytes + row.saltBytes : 0;
  const integrityBytes = integrity ? hash(integrity).digestBytes : 0;
  const material = keymat(
    state.keys.method.hash,
    state.keys.derivationKey,
    {
      protocol: protocol === 'esp' ? protocols.ESP : protocols.AH,
      spi,
      initiatorNonce: nonces.initiator,
      responderNonce: nonces.responder,
      ...(sharedSecret === undefined ? {} : { sharedSecret }),
    },
    cipherBytes + integrityBytes,
  );
  const encryptionKey = material.slice(0, cipherBytes);
  if (cipher !== undefined && isWeakKey(cipher, encryptionKey))
    throw new ExchangeError('invalid-key-exchange', 'the derived key is a weak DES key');
  return {
    protocol,
    spi,
    ...(cipher === undefined ? {} : { encryption: cipher }),
    ...(integrity === undefined ? {} : { hash: integrity }),
    encryptionKey,
    integrityKey: material.slice(cipherBytes),
  };
}
