/** What the attributes of the transaction exchange hold: the configuration a gateway gives its clients. */
import { ByteReader, ByteWriter, toHex, WireError } from '../bytes.js';
import { addressBytes, addressFamily, addressFromBytes, type IpAddress } from '../ip/address.js';
import { maskToPrefix, subnetRange } from '../ip/selector.js';
import { escapeHidden } from '../printable.js';
import { attributeNumber, type DataAttribute, tlv } from './attributes.js';
import { nameOf, transactionAttributes as types } from './numbers.js';

/** A network a gateway leads to. */
export interface ConfiguredNetwork {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** What a gateway configures its client with (draft-dukes-ike-mode-cfg-02 3.4, Cisco Unity). */
export interface Configuration {
  /** Our IPv4 address inside its network. */
  readonly address?: IpAddress;
  /** Our IPv6 address there. */
  readonly address6?: IpAddress;
  readonly netmask?: IpAddress;
  readonly dnsServers: readonly IpAddress[];
  readonly winsServers: readonly IpAddress[];
  /** What lies behind it (INTERNAL_IP4_SUBNET, INTERNAL_IP6_SUBNET, UNITY_SPLIT_INCLUDE); nothing when it does not say. */
  readonly networks: readonly ConfiguredNetwork[];
  readonly domain?: string;
  /** Text for the user, without control characters. */
  readonly banner?: string;
  readonly applicationVersion?: string;
  /** How long the address may be used. */
  readonly expirySeconds?: number;
}

/** Networks, servers and bytes of text looked at; a gateway has no use for more. */
const limits = { entries: 64, textBytes: 4_096 } as const;

/** Attributes that both families have. */
export const familyAttributes = {
  4: {
    address: types.INTERNAL_IP4_ADDRESS,
    dns: types.INTERNAL_IP4_DNS,
    nbns: types.INTERNAL_IP4_NBNS,
    subnet: types.INTERNAL_IP4_SUBNET,
  },
  6: {
    address: types.INTERNAL_IP6_ADDRESS,
    dns: types.INTERNAL_IP6_DNS,
    nbns: types.INTERNAL_IP6_NBNS,
    subnet: types.INTERNAL_IP6_SUBNET,
  },
} as const;

/** Network and mask. Cisco's entries have 6 more bytes, protocol and ports, which nobody uses; strongSwan sends either. */
const splitEntryBytes = 14;
const subnetBytes = 8;

/** An IPv6 network: address and prefix length. */
const subnet6Bytes = 17;

/** Reads a configuration. Attributes it does not know, and empty ones, are ignored. Throws `WireError`. */
export function readConfiguration(attributes: readonly DataAttribute[]): Configuration {
  const valuesOf = (type: number) =>
    attributes.flatMap(attribute =>
      attribute.form === 'tlv' && attribute.type === type && attribute.bytes.length > 0
        ? [attribute.bytes]
        : [],
    );
  const { 4: four, 6: six } = familyAttributes;
  const addresses = (type: number) => valuesOf(type).map(ipv4);
  const servers = (kind: 'dns' | 'nbns') =>
    [...addresses(four[kind]), ...valuesOf(six[kind]).map(ipv6)].slice(0, limits.entries);
  const texts = (type: number) => valuesOf(type).map(printableText);
  const [address] = addresses(four.address);
  const [address6] = valuesOf(six.address).map(assignedIpv6);
  const [netmask] = addresses(types.INTERNAL_IP4_NETMASK);
  const expiry = attributes.find(({ type }) => type === types.INTERNAL_ADDRESS_EXPIRY);
  const expirySeconds = expiry && attributeNumber(expiry);
  const [banner] = texts(types.UNITY_BANNER);
  const [domain] = texts(types.UNITY_DEF_DOMAIN);
  const [applicationVersion] = texts(types.APPLICATION_VERSION);
  return {
    ...(address === undefined ? {} : { address }),
    ...(address6 === undefined ? {} : { address6 }),
    ...(netmask === undefined ? {} : { netmask }),
    dnsServers: servers('dns'),
    winsServers: servers('nbns'),
    networks: distinct([
      ...valuesOf(four.subnet).flatMap(networks),
      ...valuesOf(six.subnet).flatMap(networks6),
      ...valuesOf(types.UNITY_SPLIT_INCLUDE).flatMap(networks),
    ]).slice(0, limits.entries),
    ...(domain === undefined ? {} : { domain }),
    ...(banner === undefined ? {} : { banner }),
    ...(applicationVersion === undefined ? {} : { applicationVersion }),
    ...(expirySeconds === undefined ? {} : { expirySeconds }),
  };
}

/** The addresses a gateway has assigned: none, one, or one of each family. */
export function assignedAddresses({ address, address6 }: Configuration): IpAddress[] {
  return [address, address6].flatMap(given => given ?? []);
}

/** The inverse, for what a gateway would send. */
export function writeConfiguration(configuration: Configuration): DataAttribute[] {
  const { netmask, dnsServers, winsServers, networks } = configuration;
  const { domain, banner, applicationVersion, expirySeconds } = configuration;
  const one = (type: number, bytes: Uint8Array | undefined) =>
    bytes === undefined ? [] : [tlv(type, bytes)];
  const text = (value: string | undefined) => (value === undefined ? undefined : Buffer.from(value, 'utf8'));
  const attributesOf = (of: IpAddress) => familyAttributes[addressFamily(of)];
  return [
    ...assignedAddresses(configuration).map(addressAttribute),
    ...one(types.INTERNAL_IP4_NETMASK, netmask && addressBytes(netmask)),
    ...dnsServers.map(server => tlv(attributesOf(server).dns, addressBytes(server))),
    ...winsServers.map(server => tlv(attributesOf(server).nbns, addressBytes(server))),
    ...networks.map(network => tlv(attributesOf(network.address).subnet, networkBytes(network))),
    ...one(types.UNITY_DEF_DOMAIN, text(domain)),
    ...one(types.UNITY_BANNER, text(banner)),
    ...one(types.APPLICATION_VERSION, text(applicationVersion)),
    ...one(
      types.INTERNAL_ADDRESS_EXPIRY,
      expirySeconds === undefined ? undefined : new ByteWriter().u32(expirySeconds).finish(),
    ),
  ];
}

/** An address as it is assigned, or asked for again; IPv6 ones with a prefix length, for strongSwan reads no other. */
export function addressAttribute(address: IpAddress): DataAttribute {
  const family = addressFamily(address);
  const bytes = new ByteWriter().bytes(addressBytes(address));
  return tlv(familyAttributes[family].address, (family === 4 ? bytes : bytes.u8(128)).finish());
}

function networkBytes({ address, prefixLength }: ConfiguredNetwork): Uint8Array {
  const bytes = new ByteWriter().bytes(addressBytes(address));
  if (addressFamily(address) === 6) return bytes.u8(prefixLength).finish();
  return bytes.u32(prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0).finish();
}

/** Text of a peer, for a terminal: what could steer one becomes a space. */
export function printableText(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, limits.textBytes)).toString('utf8');
  return text
    .replace(/\r\n?/g, '\n')
    .split('\n')
    .map(line => escapeHidden(line, () => ' '))
    .join('\n')
    .trim();
}

/** Attributes whose value nobody may see. */
const secretTypes: ReadonlySet<number> = new Set([
  types.XAUTH_USER_PASSWORD,
  types.XAUTH_PASSCODE,
  types.XAUTH_NEXT_PIN,
  types.XAUTH_ANSWER,
]);

/** One line an attribute; passwords are not shown. */
export function printTransactionAttributes(attributes: readonly DataAttribute[]): string[] {
  return attributes.map(attribute => {
    const name = nameOf(types, attribute.type);
    if (attribute.form === 'tlv' && attribute.bytes.length === 0) return `${name} (empty)`;
    if (secretTypes.has(attribute.type)) return `${name} (not shown)`;
    return `${name} ${attribute.form === 'tv' ? attribute.value : toHex(attribute.bytes)}`;
  });
}

function distinct(networks: readonly ConfiguredNetwork[]): ConfiguredNetwork[] {
  return [
    ...new Map(networks.map(network => [`${network.address}/${network.prefixLength}`, network])).values(),
  ];
}

function ipv4(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 4) throw new WireError('bad-length', 0, `an IPv4 address of ${bytes.length} bytes`);
  return addressFromBytes(bytes);
}

function ipv6(bytes: Uint8Array): IpAddress {
  if (bytes.length !== 16) throw new WireError('bad-length', 0, `an IPv6 address of ${bytes.length} bytes`);
  return addressFromBytes(bytes);
}

/** The draft has the address alone, strongSwan a prefix length behind it, as IKEv2 does (RFC 7296 3.15.1). */
function assignedIpv6(bytes: Uint8Array): IpAddress {
  return ipv6(bytes.length === 17 ? bytes.subarray(0, 16) : bytes);
}

function networks6(bytes: Uint8Array): ConfiguredNetwork[] {
  if (bytes.length % subnet6Bytes !== 0)
    throw new WireError('bad-length', 0, `IPv6 networks in ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  return Array.from({ length: bytes.length / subnet6Bytes }, () => {
    const address = ipv6(reader.bytes(16, 'network'));
    const prefixLength = reader.u8('prefix length');
    if (prefixLength > 128) throw new WireError('bad-value', 16, `the prefix length ${prefixLength}`);
    return { address: subnetRange(address, prefixLength).first, prefixLength };
  });
}

function networks(bytes: Uint8Array): ConfiguredNetwork[] {
  const entryBytes = bytes.length % splitEntryBytes === 0 ? splitEntryBytes : subnetBytes;
  if (bytes.length % entryBytes !== 0)
    throw new WireError('bad-length', 0, `networks in ${bytes.length} bytes`);
  const reader = new ByteReader(bytes);
  return Array.from({ length: bytes.length / entryBytes }, () => {
    const address = ipv4(reader.bytes(4, 'network'));
    const mask = ipv4(reader.bytes(4, 'mask'));
    reader.bytes(entryBytes - subnetBytes, 'protocol and ports');
    const prefixLength = maskToPrefix(mask);
    if (prefixLength === undefined) throw new WireError('bad-value', 4, `the mask ${mask} has holes`);
    return { address: subnetRange(address, prefixLength).first, prefixLength };
  });
}
