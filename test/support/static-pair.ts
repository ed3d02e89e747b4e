/** SA pairs with keys from a seed: what IKE would have negotiated, for tests of drivers without IKE. */
import { type EncryptionId, encryption, type HashId, hash } from '../../src/crypto/algorithms.js';
import type { DriverFilter, FilterId, PairId, SaHalf, SaPair, Spi } from '../../src/driver/api.js';
import type { IpAddress } from '../../src/wire/ip/address.js';
import { hostRange, mirrorSelector, type Selector } from '../../src/wire/ip/selector.js';
import { SeededRandom } from './random.js';

/** What two peers share. */
export interface StaticConnection {
  readonly name: string;
  readonly one: IpAddress;
  readonly other: IpAddress;
  readonly mode: 'transport' | 'tunnel';
  /** Traffic as `one` sends it. All between the two addresses when absent. */
  readonly selector?: Selector;
  readonly esp?: { readonly encryption: EncryptionId; readonly hash?: HashId };
  readonly ah?: { readonly hash: HashId };
  readonly udpEncapsulation?: boolean;
  /** Sequence numbers have 64 bits. */
  readonly extendedSequence?: boolean;
  /** Where they stand in both directions, when the pair is not new. */
  readonly sequence?: number;
}

/** One end of a connection: the filters and the pair to install. */
export interface StaticEnd {
  readonly filters: readonly DriverFilter[];
  readonly pair: SaPair;
}

/** Both ends of a connection, with keys and SPIs made from `seed`. */
export function staticEnds(
  connection: StaticConnection,
  seed: number,
): { readonly one: StaticEnd; readonly other: StaticEnd } {
  const random = new SeededRandom(seed);
  const forth = saHalves(connection, random);
  const back = saHalves(connection, random);
  const selector = connection.selector ?? {
    source: hostRange(connection.one),
    destination: hostRange(connection.other),
    protocol: 0,
    sourcePort: 0,
    destinationPort: 0,
  };
  const mirrored = mirrorSelector(selector);
  return {
    one: staticEnd(connection, connection.one, connection.other, selector, forth, back),
    other: staticEnd(connection, connection.other, connection.one, mirrored, back, forth),
  };
}

function staticEnd(
  { name, mode, udpEncapsulation, extendedSequence }: StaticConnection,
  local: IpAddress,
  peer: IpAddress,
  selector: Selector,
  outbound: readonly SaHalf[],
  inbound: readonly SaHalf[],
): StaticEnd {
  const outboundFilter = secureFilter(`${name} out`, 'outbound', selector);
  const inboundFilter = secureFilter(`${name} in`, 'inbound', mirrorSelector(selector));
  const ends = mode === 'tunnel' ? [{ tunnelEndpoint: peer }, { tunnelEndpoint: local }] : [{}, {}];
  return {
    filters: [
      { ...outboundFilter, ...ends[0] },
      { ...inboundFilter, ...ends[1] },
    ],
    pair: {
      id: name as PairId,
      filterId: outboundFilter.id,
      local,
      peer,
      mode,
      selector,
      inbound,
      outbound,
      lifetime: { softSeconds: 0, hardSeconds: 0, softKilobytes: 0, hardKilobytes: 0 },
      ...(extendedSequence === undefined ? {} : { extendedSequence }),
      ...(udpEncapsulation === true ? { udpEncapsulation: { localPort: 4500, peerPort: 4500 } } : {}),
    },
  };
}

/** A `secure` filter for one direction. */
export function secureFilter(
  id: string,
  direction: DriverFilter['direction'],
  selector: Selector,
): DriverFilter {
  return {
    id: id as FilterId,
    policyId: '{00000000-0000-0000-0000-000000000000}',
    direction,
    selector,
    action: 'secure',
    acceptUnsecured: false,
    allowFallback: false,
  };
}

function saHalves({ esp, ah, sequence }: StaticConnection, random: SeededRandom): SaHalf[] {
  const spi = () => random.between(0x1000, 0x7fff_ffff) as Spi;
  const stands = sequence === undefined ? {} : { sequence };
  const halves: SaHalf[] = [];
  if (esp !== undefined) {
    const cipher = encryption(esp.encryption);
    halves.push({
      protocol: 'esp',
      spi: spi(),
      encryption: esp.encryption,
      ...(esp.hash === undefined ? {} : { hash: esp.hash }),
      encryptionKey: random.bytes(cipher.keyBytes + cipher.saltBytes),
      integrityKey: random.bytes(esp.hash === undefined ? 0 : hash(esp.hash).digestBytes),
      ...stands,
    });
  }
  if (ah !== undefined)
    halves.push({
      protocol: 'ah',
      spi: spi(),
      hash: ah.hash,
      encryptionKey: new Uint8Array(0),
      integrityKey: random.bytes(hash(ah.hash).digestBytes),
      ...stands,
    });
  return halves;
}
