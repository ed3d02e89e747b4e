/** Who the peers say they are in main mode, and which traffic they mean in quick mode (RFC 2407 4.6.2). */
import { bytesEqual } from '../wire/bytes.js';
import {
  type DistinguishedName,
  encodeName,
  nameMatchesText,
  parseNameText,
} from '../wire/der/distinguished-name.js';
import { addressFamily, type IpAddress } from '../wire/ip/address.js';
import { type AddressRange, hostRange, type Selector } from '../wire/ip/selector.js';
import {
  addressId,
  distinguishedNameOfId,
  nameId,
  nameOfId,
  printId,
  rangeId,
  rangeOfId,
} from '../wire/isakmp/identification.js';
import { idTypes } from '../wire/isakmp/numbers.js';
import type { IdPayload } from '../wire/isakmp/payloads.js';
import type { Identity } from './api.js';
import { ExchangeError } from './exchange-error.js';

/** The ID payload of main mode 5 or 6: protocol and port 0. */
export function identityPayload(identity: Identity): IdPayload {
  switch (identity.kind) {
    case 'address':
      return addressId(identity.address);
    case 'fqdn':
      return nameId(idTypes.FQDN, identity.name);
    case 'userFqdn':
      return nameId(idTypes.USER_FQDN, identity.name);
    case 'distinguishedName':
      throw new TypeError('a distinguished name as text has no DER of its own');
    case 'other':
      return { kind: 'id', idType: identity.idType, protocol: 0, port: 0, data: identity.bytes };
  }
}

/**
 * The ID payload of an identity to check a certificate of `subject` against. A distinguished name as text has the
 * subject's DER when it writes that, in either order, and else one of its own.
 */
export function checkedId(identity: Identity, subject: DistinguishedName): IdPayload {
  if (identity.kind !== 'distinguishedName') return identityPayload(identity);
  const data = nameMatchesText(subject, identity.name)
    ? subject.der
    : encodeName(parseNameText(identity.name) ?? []);
  return { kind: 'id', idType: idTypes.DER_ASN1_DN, protocol: 0, port: 0, data };
}

/** Throws `ExchangeError` (`invalid-id`) unless the peer's ID is the one expected of it. */
export function checkPeerIdentity(id: IdPayload, expected: Identity | undefined): void {
  const mismatch = peerIdentityMismatch(id, expected);
  if (mismatch !== undefined) throw new ExchangeError('invalid-id', mismatch);
}

/** Why the peer's ID is not the one expected of it; `undefined` when it is. Names ignore case. */
export function peerIdentityMismatch(id: IdPayload, expected: Identity | undefined): string | undefined {
  if (expected === undefined) return undefined;
  const insteadOf = (wanted: string) => `the peer authenticated as ${printId(id)}, but ${wanted} is expected`;
  if (expected.kind === 'distinguishedName') {
    const name = distinguishedNameOfId(id);
    const same = name !== undefined && nameMatchesText(name, expected.name);
    return same ? undefined : insteadOf(expected.name);
  }
  const wanted = identityPayload(expected);
  const sameName = nameOfId(id)?.toLowerCase() === nameOfId(wanted)?.toLowerCase();
  const same = nameOfId(wanted) === undefined ? bytesEqual(id.data, wanted.data) : sameName;
  return id.idType === wanted.idType && same ? undefined : insteadOf(printId(wanted));
}

/** IDci and IDcr for traffic, given as seen by the initiator. */
export function selectorPayloads(selector: Selector): [IdPayload, IdPayload] {
  const { source, destination, protocol, sourcePort, destinationPort } = selector;
  return [rangeId(source, protocol, sourcePort), rangeId(destination, protocol, destinationPort)];
}

export interface SelectorContext {
  readonly mode: 'transport' | 'tunnel';
  /** Addresses of the ISAKMP SA: the initiator's and the responder's, as we see them. */
  readonly initiator: IpAddress;
  readonly responder: IpAddress;
  /** Behind NAT the addresses in transport-mode IDs are only informative. */
  readonly nat: boolean;
}

/**
 * The traffic a pair of IDs means, as seen by the initiator; without IDs the two hosts themselves. Throws
 * `ExchangeError` (`invalid-id`).
 */
export function selectorOfIds(ids: readonly IdPayload[], context: SelectorContext): Selector {
  const { mode, initiator, responder, nat } = context;
  const [initiatorId, responderId] = ids;
  if (initiatorId === undefined || responderId === undefined) {
    if (ids.length !== 0) throw new ExchangeError('invalid-id', 'one ID payload alone');
    if (mode === 'tunnel') throw new ExchangeError('invalid-id', 'a tunnel without ID payloads');
    return {
      source: hostRange(initiator),
      destination: hostRange(responder),
      protocol: 0,
      sourcePort: 0,
      destinationPort: 0,
    };
  }
  if (initiatorId.protocol !== responderId.protocol)
    throw new ExchangeError('invalid-id', 'the two IDs name different protocols');
  for (const { protocol, port } of [initiatorId, responderId])
    if (port !== 0 && protocol !== 6 && protocol !== 17)
      throw new ExchangeError('invalid-id', `a port with IP protocol ${protocol}`);
  const addresses = (id: IdPayload, host: IpAddress): AddressRange => {
    if (mode === 'transport' && nat) return hostRange(host);
    const range = rangeOfId(id);
    if (range === undefined) throw new ExchangeError('invalid-id', `${printId(id)} is not an address`);
    if (mode === 'transport' && range.first !== range.last)
      throw new ExchangeError('invalid-id', `transport mode for more than a host: ${printId(id)}`);
    if (mode === 'transport' && range.first !== host)
      throw new ExchangeError('invalid-id', `transport mode for ${printId(id)}, but IKE is with ${host}`);
    return range;
  };
  const source = addresses(initiatorId, initiator);
  const destination = addresses(responderId, responder);
  if (addressFamily(source.first) !== addressFamily(destination.first))
    throw new ExchangeError('invalid-id', 'the two IDs are of different address families');
  return {
    source,
    destination,
    protocol: initiatorId.protocol,
    sourcePort: initiatorId.port,
    destinationPort: responderId.port,
  };
}
