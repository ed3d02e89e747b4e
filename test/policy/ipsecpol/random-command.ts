import { encryption, encryptionIds, groupIds, hashIds } from '../../../src/crypto/algorithms.js';
import { Secret } from '../../../src/crypto/secret.js';
import type {
  AddressText,
  AuthenticationSpec,
  FilterSpec,
  HostText,
  IpsecpolCommand,
  NegotiationSpec,
  TrafficSpec,
} from '../../../src/policy/ipsecpol/command.js';
import type { MainModeMethod, SecurityMethod } from '../../../src/policy/model.js';
import { addressFromBytes, type IpAddress } from '../../../src/wire/ip/address.js';
import { subnetRange } from '../../../src/wire/ip/selector.js';
import type { SeededRandom } from '../../support/random.js';

/** A random command that respects every rule of the grammar. */
export function randomCommand(random: SeededRandom): IpsecpolCommand {
  const some = <T>(most: number, make: () => T): T[] => Array.from({ length: random.int(most + 1) }, make);
  const isStatic = random.chance(0.5);
  const tunnel = random.chance(0.2) ? randomHost(random) : undefined;
  const bracket = randomBracket(random);
  const isDefault = tunnel === undefined && random.chance(0.1);
  const traffic = (): TrafficSpec => {
    const { action, ...rest } = randomTraffic(random);
    const kept = tunnel !== undefined ? undefined : isStatic ? bracket : action;
    return {
      ...rest,
      mirrored: tunnel === undefined && rest.mirrored,
      ...(kept === undefined ? {} : { action: kept }),
    };
  };
  const filters: FilterSpec[] = isDefault ? [{ kind: 'default' }] : [traffic(), ...some(4, traffic)];
  const parts = {
    ...(random.chance(0.2) ? { host: `host${random.int(99)}` } : {}),
    filters,
    negotiation: some(4, () => randomNegotiation(random, tunnel !== undefined || isDefault)),
    ...(tunnel === undefined ? {} : { tunnel }),
    authentication: some(3, () => randomAuthentication(random)),
    deleteDynamic: random.chance(0.1),
    soft: random.chance(0.3),
    ...(random.chance(0.3) ? { connectionType: random.pick(['lan', 'dialup'] as const) } : {}),
    mainModeMethods: some(4, () => randomMainModeMethod(random)),
    ...(random.chance(0.3) ? { mainModeRekey: randomRekey(random) } : {}),
    masterKeyPfs: random.chance(0.2),
    ...(random.chance(0.2) ? { softSaSeconds: random.between(1, 0xffff_ffff) } : {}),
  };
  if (!isStatic) return { kind: 'dynamic', ...parts, confirm: random.chance(0.2) };
  const ending = random.int(3);
  return {
    kind: 'static',
    ...parts,
    store: random.pick([
      { kind: 'local' },
      { kind: 'directory' },
      { kind: 'directory', domain: 'corp.example.com' },
      { kind: 'persistent' },
    ] as const),
    policyName: randomName(random).replaceAll(':', '_'),
    ...(random.chance(0.3) ? { pollIntervalMinutes: random.int(10_000) } : {}),
    ruleNames: random.chance(0.8) ? [randomName(random)] : [],
    assign: ending === 1,
    unassign: ending === 2,
    delete: false,
  };
}

function randomName(random: SeededRandom): string {
  const letters = [...'abcXYZ0189 ._()\'"$ü漢:'];
  const length = random.between(1, 20);
  return `n${Array.from({ length }, () => random.pick(letters)).join('')}e`;
}

function randomAddress(random: SeededRandom): IpAddress {
  const bytes = random.bytes(4);
  bytes[0] = random.between(1, 255);
  return addressFromBytes(bytes);
}

function randomHost(random: SeededRandom): HostText {
  return random.chance(0.5)
    ? { kind: 'host', address: randomAddress(random) }
    : { kind: 'name', name: `h${random.int(1000)}.example.com` };
}

function randomAddressText(random: SeededRandom): AddressText {
  const prefixLength = random.between(1, 31);
  switch (random.int(8)) {
    case 0:
      return { kind: 'me' };
    case 1:
      return { kind: 'any' };
    case 2:
      return {
        kind: 'subnet',
        address: subnetRange(randomAddress(random), prefixLength).first,
        prefixLength,
      };
    case 6:
      return { kind: 'host', address: addressFromBytes(random.bytes(16)) };
    case 7: {
      const length = random.int(128);
      const { first: address } = subnetRange(addressFromBytes(random.bytes(16)), length);
      return { kind: 'subnet', address, prefixLength: length };
    }
    case 3:
      return { kind: 'name', name: `net${random.int(100)}`, prefixLength };
    default:
      return randomHost(random);
  }
}

function randomBracket(random: SeededRandom): TrafficSpec['action'] {
  const action = random.pick(['permit', 'block', 'plain'] as const);
  return action === 'plain' ? undefined : action;
}

function randomTraffic(random: SeededRandom): TrafficSpec {
  const protocol = random.pick([0, 1, 6, 6, 17, 255, random.int(256)]);
  const port = () => ((protocol === 6 || protocol === 17) && random.chance(0.5) ? random.int(65_536) : 0);
  const action = randomBracket(random);
  return {
    kind: 'traffic',
    ...(action === undefined ? {} : { action }),
    source: randomAddressText(random),
    destination: randomAddressText(random),
    mirrored: random.chance(0.5),
    protocol,
    sourcePort: port(),
    destinationPort: port(),
  };
}

function randomNegotiation(random: SeededRandom, methodsOnly: boolean): NegotiationSpec {
  if (!methodsOnly && random.chance(0.1)) return { kind: 'block' };
  if (random.chance(0.1)) return { kind: 'inpass' };
  return { kind: 'method', method: randomSecurityMethod(random) };
}

export function randomSecurityMethod(random: SeededRandom): SecurityMethod {
  const cipher = random.pick(encryptionIds);
  const hash = random.pick(hashIds);
  const combined = encryption(cipher).tagBytes !== undefined;
  const withHash = !combined && (cipher === 'null' || random.chance(0.8));
  const which = random.pick(['ah', 'esp', 'both'] as const);
  return {
    ...(which === 'esp' ? {} : { ah: { hash } }),
    ...(which === 'ah' ? {} : { esp: { encryption: cipher, ...(withHash ? { hash } : {}) } }),
    ...(random.chance(0.4) ? { lifetimeSeconds: random.between(1, 0xffff_ffff) } : {}),
    ...(random.chance(0.4) ? { lifetimeKilobytes: random.between(1, 0xffff_ffff) } : {}),
    ...(random.chance(0.4) ? { pfs: random.chance(0.5) ? {} : { group: random.pick(groupIds) } } : {}),
  };
}

function randomAuthentication(random: SeededRandom): AuthenticationSpec {
  switch (random.int(4)) {
    case 0:
      return { kind: 'kerberos' };
    case 1:
      return { kind: 'certificate', authority: `C=US, O=${randomName(random)}` };
    case 2:
      return { kind: 'presharedFile', path: `/tmp/${randomName(random)}` };
    default:
      return { kind: 'preshared', key: new Secret(random.pick(['', '"', '-', '\\']) + randomName(random)) };
  }
}

function randomMainModeMethod(random: SeededRandom): MainModeMethod {
  return {
    encryption: random.pick(encryptionIds.filter(id => encryption(id).ikeId !== undefined)),
    hash: random.pick(hashIds),
    group: random.pick(groupIds),
  };
}

function randomRekey(random: SeededRandom) {
  const quickModes = random.int(1000);
  const seconds = random.between(1, 100_000);
  return random.pick([{ quickModes }, { seconds }, { quickModes, seconds }]);
}
