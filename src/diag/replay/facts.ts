/** What single payloads of a message say, for people. */
import type { HashId } from '../../crypto/algorithms.js';
import { digest } from '../../crypto/prf.js';
import { ByteWriter, bytesEqual, toHex } from '../../wire/bytes.js';
import { addressBytes } from '../../wire/ip/address.js';
import { findPayloads, type PayloadChain } from '../../wire/isakmp/message.js';
import { microsoftStatus } from '../../wire/isakmp/notify-data.js';
import { isErrorNotify, nameOf, notifyTypes, protocols } from '../../wire/isakmp/numbers.js';
import { recogniseVendorId, windowsVersionOf, windowsVersions } from '../../wire/isakmp/vendor-ids.js';
import type { CapturedDatagram } from './datagrams.js';
import type { ReplayEndpoint } from './report.js';

/** The vendor IDs of a message by name; unknown ones as hexadecimal. */
export function vendorNames(chain: PayloadChain): string[] {
  return findPayloads(chain, 'vid').map(({ payload: { data } }) => {
    const known = recogniseVendorId(data);
    if (known === undefined) return `unknown ${toHex(data)}`;
    const version = windowsVersionOf(data);
    return version === undefined ? known.name : `${known.name} (${windowsVersions[version] ?? version})`;
  });
}

/** Which ends of a message are translated on the way, by its NAT-D payloads; `undefined` when it has none. */
export function natOf(
  chain: PayloadChain,
  hash: HashId,
  cookies: { readonly initiatorCookie: Uint8Array; readonly responderCookie: Uint8Array },
  { source, destination }: CapturedDatagram,
): { readonly source: boolean; readonly destination: boolean } | undefined {
  const [toward, ...from] = findPayloads(chain, 'nat-d').map(({ payload }) => payload.data);
  if (toward === undefined) return undefined;
  const expected = ({ address, port }: ReplayEndpoint) =>
    digest(
      hash,
      cookies.initiatorCookie,
      cookies.responderCookie,
      new ByteWriter().bytes(addressBytes(address)).u16(port).finish(),
    );
  const own = expected(source);
  return {
    source: !from.some(data => bytesEqual(data, own)),
    destination: !bytesEqual(toward, expected(destination)),
  };
}

/** What the notifications mean to somebody who does not know their numbers; those not listed have their names only. */
const notifyMeanings: Readonly<Record<string, string>> = {
  'NO-PROPOSAL-CHOSEN': 'nothing that was offered is acceptable',
  'PAYLOAD-MALFORMED': 'a message could not be understood; of an encrypted one that means another key',
  'INVALID-ID-INFORMATION': 'the identity, or the traffic asked for, is not what the policy has',
  'AUTHENTICATION-FAILED': 'the proof of identity is wrong',
  'INVALID-HASH-INFORMATION': 'a hash is wrong: most likely another key',
  'INVALID-KEY-INFORMATION': 'the Diffie-Hellman value, or its group, is not accepted',
  'INVALID-COOKIE': 'the negotiation is not known here (any more)',
  'INVALID-EXCHANGE-TYPE':
    'this kind of exchange is not allowed (aggressive instead of main mode, for example)',
  'INVALID-SPI': 'the SA is not known here (any more)',
  'CERTIFICATE-UNAVAILABLE': 'the certificate is missing',
  'INITIAL-CONTACT': 'the sender has no other SA with this peer: old ones can go',
  'RESPONDER-LIFETIME': 'the responder uses a shorter lifetime',
  CONNECTED: 'the SA is ready',
  'R-U-THERE': 'dead peer detection: are you there?',
  'R-U-THERE-ACK': 'dead peer detection: yes',
};

/** SPIs of one delete that are shown. */
const mostSpis = 8;

/** A sentence for each notification and delete of a message. */
export function announcements(chain: PayloadChain): string[] {
  return chain.payloads.flatMap(({ payload }) => {
    if (payload.kind === 'delete')
      return [`deletes ${nameOf(protocols, payload.protocol)} SA ${printSpis(payload.spis)}`];
    if (payload.kind !== 'notify') return [];
    const name = nameOf(notifyTypes, payload.notifyType);
    const meaning = notifyMeanings[name];
    const status = microsoftStatus(payload)?.status;
    const more = status === undefined ? '' : ` (Win32 error ${status})`;
    const kind = isErrorNotify(payload.notifyType) ? 'error' : 'notification';
    return [`${kind} ${name}${more}${meaning === undefined ? '' : `: ${meaning}`}`];
  });
}

function printSpis(spis: readonly Uint8Array[]): string {
  const shown = spis.slice(0, mostSpis).map(spi => toHex(spi));
  return [...shown, ...(spis.length > mostSpis ? [`${spis.length - mostSpis} more`] : [])].join(', ');
}

/** For people: which side is behind a NAT. */
export function printNat(nat: { readonly initiator: boolean; readonly responder: boolean }): string {
  if (nat.initiator && nat.responder) return 'NAT detected: both sides are behind one';
  if (nat.initiator) return 'NAT detected: the initiator is behind it';
  return nat.responder ? 'NAT detected: the responder is behind it' : 'no NAT detected';
}
