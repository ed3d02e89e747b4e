/**
 * Random policies and packets that are likely to meet: few addresses, subnets inside one another, few ports. For
 * property tests; print the seed.
 */
import { encryption, encryptionIds, groupIds, hashIds } from '../../src/crypto/algorithms.js';
import { Secret } from '../../src/crypto/secret.js';
import { derivedGuid } from '../../src/policy/guid.js';
import type {
  AddressSpec,
  AuthenticationMethod,
  Filter,
  FilterAction,
  HostSpec,
  MainModeMethod,
  Policy,
  Rule,
  SecurityMethod,
} from '../../src/policy/model.js';
import type { Packet } from '../../src/policy/packet.js';
import { carriesPorts } from '../../src/policy/protocols.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { subnetRange } from '../../src/wire/ip/selector.js';
import type { SeededRandom } from './random.js';

/** Addresses of the computer the policies are for. */
export const ownAddresses = ['192.0.2.1', '10.1.0.1'].map(ipAddress);
const ownIpv6Addresses = ['2001:db8::1'].map(ipAddress);

const hosts = ['192.0.2.1', '192.0.2.20', '10.1.0.1', '10.1.0.9', '10.1.2.3', '10.2.0.7', '198.51.100.7'].map(
  ipAddress,
);
const ipv6Hosts = ['2001:db8::1', '2001:db8::20', '2001:db8:1::9', '2001:db8:2::7'].map(ipAddress);
const prefixLengths = [4, 8, 15, 16, 23, 24, 25, 30, 31];
const ipv6PrefixLengths = [3, 29, 32, 47, 48, 64, 96, 127];
const ports = [22, 80, 443, 1025];
const protocols = [0, 0, 0, 1, 6, 6, 17, 47];

export interface RandomPolicyOptions {
  readonly rules?: number;
  readonly filtersPerRule?: number;
  /** Also IPv6 addresses. */
  readonly ipv6?: boolean;
  /** Only filters that packets cross in transport mode. */
  readonly tunnels?: boolean;
}

/** The addresses that filters are expanded with. */
export function ownAddressesOf({ ipv6 = false }: RandomPolicyOptions = {}): readonly IpAddress[] {
  return ipv6 ? [...ownAddresses, ...ownIpv6Addresses] : ownAddresses;
}

/** A well-formed policy (it need not make sense). Ids are counted, names differ. */
export function randomPolicy(random: SeededRandom, options: RandomPolicyOptions = {}): Policy {
  let count = 0;
  const newGuid = () => derivedGuid('random policy', `${random.u32()} ${++count}`);
  const rules = Array.from({ length: options.rules ?? random.between(1, 6) }, (_, i): Rule => {
    const tunnelEndpoint = options.tunnels && random.chance(0.2) ? randomHost(random) : undefined;
    const filters = Array.from(
      { length: random.between(1, options.filtersPerRule ?? 4) },
      (): Filter => ({ id: newGuid(), ...randomTraffic(random, options, tunnelEndpoint !== undefined) }),
    );
    return {
      id: newGuid(),
      name: `rule ${i + 1}`,
      active: random.chance(0.9),
      ...(random.chance(0.05) && tunnelEndpoint === undefined
        ? {}
        : { filterList: { id: newGuid(), filters } }),
      action: randomAction(random, newGuid),
      authentication: randomAuthentication(random),
      ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
      connectionType: random.chance(0.9) ? 'all' : random.pick(['lan', 'dialup'] as const),
    };
  });
  return {
    id: newGuid(),
    name: `Policy ${random.int(1000)}`,
    pollIntervalMinutes: random.pick([1, 60, 180]),
    keyExchange: {
      masterKeyPfs: random.chance(0.2),
      lifetimeSeconds: random.pick([300, 3_600, 28_800]),
      quickModeLimit: random.pick([0, 0, 1, 10]),
      methods: Array.from({ length: random.between(1, 4) }, () => randomMainModeMethod(random)),
      ...(random.chance(0.2) ? { softSaSeconds: random.pick([1, 300, 86_400]) } : {}),
    },
    rules,
  };
}

/** A packet of the same world: now and then one that meets a filter only in part. */
export function randomPacket(random: SeededRandom, options: RandomPolicyOptions = {}): Packet {
  const pool = options.ipv6 && random.chance(0.4) ? ipv6Hosts : hosts;
  const protocol = random.pick([1, 6, 6, 17, 17, 47]);
  const port = () => (carriesPorts(protocol) ? random.pick([...ports, 9, 50_000]) : 0);
  return {
    direction: random.pick(['inbound', 'outbound'] as const),
    source: random.pick(pool),
    destination: random.pick(pool),
    protocol,
    sourcePort: port(),
    destinationPort: port(),
  };
}

function randomTraffic(
  random: SeededRandom,
  { ipv6 = false }: RandomPolicyOptions,
  tunnel: boolean,
): Omit<Filter, 'id'> {
  const family = ipv6 && random.chance(0.4) ? 6 : 4;
  const protocol = random.pick(protocols);
  const port = () => (carriesPorts(protocol) && random.chance(0.6) ? random.pick(ports) : 0);
  return {
    source: randomAddress(random, family),
    destination: randomAddress(random, family),
    protocol,
    sourcePort: port(),
    destinationPort: port(),
    mirrored: !tunnel && random.chance(0.6),
  };
}

function randomAddress(random: SeededRandom, family: 4 | 6): AddressSpec {
  const pool = family === 4 ? hosts : ipv6Hosts;
  switch (random.int(6)) {
    case 0:
    case 1:
      return { kind: 'me' };
    case 2:
      return { kind: 'any' };
    case 3:
      return { kind: 'host', address: random.pick(pool) };
    case 4:
      return { kind: 'dns', name: 'some.example', addresses: [random.pick(pool), random.pick(pool)] };
    default: {
      const prefixLength = random.pick(family === 4 ? prefixLengths : ipv6PrefixLengths);
      return { kind: 'subnet', address: subnetRange(random.pick(pool), prefixLength).first, prefixLength };
    }
  }
}

function randomHost(random: SeededRandom): HostSpec {
  return { kind: 'host', address: random.pick(hosts) };
}

function randomAction(random: SeededRandom, newGuid: () => Policy['id']): FilterAction {
  const kind = random.pick(['permit', 'block', 'negotiate'] as const);
  if (kind !== 'negotiate') return { id: newGuid(), kind };
  return {
    id: newGuid(),
    kind,
    methods: Array.from({ length: random.between(1, 3) }, () => randomSecurityMethod(random)),
    acceptUnsecured: random.chance(0.3),
    allowFallback: random.chance(0.2),
  };
}

function randomSecurityMethod(random: SeededRandom): SecurityMethod {
  const cipher = random.pick(encryptionIds);
  const combined = encryption(cipher).tagBytes !== undefined;
  const both = random.chance(0.2);
  const esp = both || random.chance(0.7);
  return {
    ...(both || !esp ? { ah: { hash: random.pick(hashIds) } } : {}),
    ...(esp ? { esp: { encryption: cipher, ...(combined ? {} : { hash: random.pick(hashIds) }) } } : {}),
    ...(random.chance(0.4) ? { lifetimeSeconds: random.pick([900, 3_600]) } : {}),
    ...(random.chance(0.4) ? { lifetimeKilobytes: random.pick([50_000, 100_000]) } : {}),
    ...(random.chance(0.3) ? { pfs: random.chance(0.5) ? {} : { group: random.pick(groupIds) } } : {}),
    ...(random.chance(0.2) ? { extendedSequence: true } : {}),
  };
}

function randomMainModeMethod(random: SeededRandom): MainModeMethod {
  const ciphers = encryptionIds.filter(id => encryption(id).ikeId !== undefined);
  return { encryption: random.pick(ciphers), hash: random.pick(hashIds), group: random.pick(groupIds) };
}

function randomAuthentication(random: SeededRandom): AuthenticationMethod[] {
  const method = random.pick<AuthenticationMethod>([
    { kind: 'preshared', key: new Secret(`key ${random.u32()}`) },
    { kind: 'kerberos' },
    { kind: 'certificate', authority: 'CN=Some Authority' },
  ]);
  return [method];
}
