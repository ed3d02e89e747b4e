/** Random stores for round trips: policies with everything a Windows store has, and only what it can hold. */
import { Secret } from '../../src/crypto/secret.js';
import type { PolicyCollection } from '../../src/policy/document.js';
import { derivedGuid } from '../../src/policy/guid.js';
import type {
  AddressSpec,
  AuthenticationMethod,
  Filter,
  FilterAction,
  FilterList,
  Guid,
  HostSpec,
  KeyExchangeSettings,
  MainModeMethod,
  Policy,
  Rule,
  SecurityMethod,
} from '../../src/policy/model.js';
import { type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { subnetRange } from '../../src/wire/ip/selector.js';
import type { SeededRandom } from './random.js';

/** A store with policies, shared and unused objects, every kind of address and name. */
export function randomStore(random: SeededRandom): PolicyCollection {
  return new StoreMaker(random).store();
}

class StoreMaker {
  readonly #random: SeededRandom;
  readonly #filterLists: FilterList[] = [];
  readonly #actions: FilterAction[] = [];
  #count = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  store(): PolicyCollection {
    const random = this.#random;
    const policies = this.#some(3, () => this.#policy());
    const assigned = random.chance(0.5) && policies.length > 0 ? random.pick(policies).id : undefined;
    const library = {
      filterLists: this.#some(2, () => this.#filterList()),
      actions: this.#some(2, () => this.#action()),
    };
    return { policies, ...(assigned === undefined ? {} : { assigned }), library };
  }

  #policy(): Policy {
    const random = this.#random;
    const id = this.#guid();
    const rules = this.#some(5, () => this.#rule());
    return {
      id,
      name: this.#text(),
      ...this.#maybe('description', () => this.#text()),
      pollIntervalMinutes: random.pick([1, 90, 180, 71_582_788]),
      changedAtSeconds: random.u32(),
      keyExchange: this.#keyExchange(),
      rules: random.chance(0.5) ? [...rules, this.#defaultRule()] : rules,
    };
  }

  #keyExchange(): KeyExchangeSettings {
    const random = this.#random;
    const masterKeyPfs = random.chance(0.3);
    const method = (): MainModeMethod => ({
      encryption: random.pick(['des', '3des']),
      hash: random.pick(['md5', 'sha1']),
      group: random.pick([1, 2, 14]),
    });
    return {
      ...this.#maybe('id', () => this.#guid()),
      masterKeyPfs,
      lifetimeSeconds: random.pick([1, 300, 28_800, 0xffff_ffff]),
      quickModeLimit: masterKeyPfs ? 1 : random.pick([0, 1, 7]),
      methods: [method(), ...this.#some(7, method)],
      ...(random.chance(0.2) ? { certificateToAccount: true } : {}),
      ...(random.chance(0.2) ? { excludeCaNames: true } : {}),
    };
  }

  #rule(): Rule {
    const random = this.#random;
    return {
      id: this.#guid(),
      ...this.#names(),
      active: random.chance(0.8),
      filterList: this.#shared(this.#filterLists, () => this.#filterListOfRule()),
      action: this.#shared(this.#actions, () => this.#action()),
      authentication: this.#some(3, () => this.#authentication()),
      ...(random.chance(0.3) ? { tunnelEndpoint: this.#endpoint() } : {}),
      connectionType: random.pick(['all', 'lan', 'dialup']),
    };
  }

  #defaultRule(): Rule {
    return {
      id: this.#guid(),
      active: this.#random.chance(0.5),
      action: this.#negotiation(),
      authentication: [this.#authentication()],
      connectionType: 'all',
    };
  }

  #filterListOfRule(): FilterList {
    const list = this.#filterList();
    if (this.#random.chance(0.8)) return list;
    const further = this.#filterList();
    return {
      ...list,
      filters: [...list.filters, ...further.filters],
      furtherLists: [
        {
          id: further.id,
          ...(further.name === undefined ? {} : { name: further.name }),
          ...(further.description === undefined ? {} : { description: further.description }),
          filterIds: further.filters.map(({ id }) => id),
        },
      ],
    };
  }

  #filterList(): FilterList {
    const withIpv6 = this.#random.chance(0.2);
    return { id: this.#guid(), ...this.#names(), filters: this.#some(4, () => this.#filter(withIpv6)) };
  }

  #filter(withIpv6: boolean): Filter {
    const random = this.#random;
    const family = withIpv6 && random.chance(0.5) ? 6 : 4;
    const protocol = random.pick([0, 1, 6, 17, 255]);
    const port = () => (protocol === 6 || protocol === 17 ? random.pick([0, 80, 65_535]) : 0);
    const source = this.#address(family);
    const destination = this.#address(family);
    const bothSpecial = source.kind === 'special' && destination.kind === 'special';
    return {
      id: this.#guid(),
      ...this.#maybe('name', () => this.#text()),
      source,
      destination: bothSpecial && !withIpv6 ? { kind: 'me' } : destination,
      protocol,
      sourcePort: port(),
      destinationPort: port(),
      mirrored: random.chance(0.5),
    };
  }

  #address(family: 4 | 6): AddressSpec {
    const random = this.#random;
    switch (random.int(6)) {
      case 0:
        return { kind: 'me' };
      case 1:
        return { kind: 'any' };
      case 2:
        return { kind: 'special', group: random.pick(['dns', 'wins', 'dhcp', 'gateway']) };
      case 3:
        return { kind: 'host', address: this.#ip(family) };
      case 4:
        return {
          kind: 'dns',
          name: `host${random.int(100)}.example`,
          addresses: [...new Set(this.#some(3, () => this.#ip(family)))],
        };
      default: {
        const prefixLength = random.between(1, family === 4 ? 31 : 127);
        return { kind: 'subnet', address: subnetRange(this.#ip(family), prefixLength).first, prefixLength };
      }
    }
  }

  #endpoint(): HostSpec {
    const address = this.#ip(this.#random.chance(0.2) ? 6 : 4);
    if (this.#random.chance(0.7)) return { kind: 'host', address };
    return { kind: 'dns', name: 'gate.example', addresses: this.#some(1, () => address) };
  }

  #action(): FilterAction {
    const kind = this.#random.pick(['permit', 'block', 'negotiate'] as const);
    return kind === 'negotiate' ? this.#negotiation() : { id: this.#guid(), ...this.#names(), kind };
  }

  #negotiation(): FilterAction {
    const random = this.#random;
    const pfs = random.chance(0.3) ? { pfs: {} } : {};
    return {
      id: this.#guid(),
      ...this.#names(),
      kind: 'negotiate',
      methods: [this.#method(), ...this.#some(4, () => this.#method())].map(method => ({
        ...method,
        ...pfs,
      })),
      acceptUnsecured: random.chance(0.5),
      allowFallback: random.chance(0.5),
    };
  }

  #method(): SecurityMethod {
    const random = this.#random;
    const hash = random.pick(['md5', 'sha1'] as const);
    const which = random.pick(['ah', 'esp', 'both']);
    const encryption = random.pick(['des', '3des', 'null'] as const);
    const esp = { encryption, ...(encryption === 'null' || random.chance(0.8) ? { hash } : {}) };
    return {
      ...(which === 'esp' ? {} : { ah: { hash } }),
      ...(which === 'ah' ? {} : { esp }),
      ...this.#maybe('lifetimeSeconds', () => random.pick([300, 0xffff_ffff])),
      ...this.#maybe('lifetimeKilobytes', () => random.pick([50_000, 0xffff_ffff])),
    };
  }

  #authentication(): AuthenticationMethod {
    const random = this.#random;
    switch (random.int(3)) {
      case 0:
        return { kind: 'kerberos' };
      case 1:
        return { kind: 'preshared', key: new Secret(this.#text()) };
      default:
        return {
          kind: 'certificate',
          authority: `C=US, O=${this.#text()}`,
          ...(random.chance(0.2) ? { certificateToAccount: true } : {}),
          ...(random.chance(0.2) ? { excludeCaName: true } : {}),
        };
    }
  }

  #names(): { name?: string; description?: string } {
    return { ...this.#maybe('name', () => this.#text()), ...this.#maybe('description', () => this.#text()) };
  }

  #text(): string {
    const letters = [...'abcXYZ 019"\\\'=,;[]()@-ü漢😀\n'];
    const inner = Array.from({ length: this.#random.int(30) }, () => this.#random.pick(letters)).join('');
    return `n${++this.#count}${inner}.`;
  }

  #guid(): Guid {
    return derivedGuid('random store', `${this.#random.u32()} ${++this.#count}`);
  }

  #ip(family: 4 | 6): IpAddress {
    const random = this.#random;
    if (family === 6) return ipAddress(`2001:db8::${random.between(1, 0xffff).toString(16)}`);
    return ipAddress(
      `${random.between(1, 223)}.${random.int(256)}.${random.int(256)}.${random.between(1, 255)}`,
    );
  }

  #maybe<K extends string, T>(key: K, make: () => T): { [P in K]?: T } {
    const made: { [P in K]?: T } = {};
    if (this.#random.chance(0.5)) made[key] = make();
    return made;
  }

  #some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.#random.int(most + 1) }, make);
  }

  /** Now and then what another rule has already. */
  #shared<T>(pool: T[], make: () => T): T {
    if (pool.length > 0 && this.#random.chance(0.3)) return this.#random.pick(pool);
    const made = make();
    pool.push(made);
    return made;
  }
}
