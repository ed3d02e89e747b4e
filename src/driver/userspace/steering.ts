/**
 * How the kernel is told which packets are ours: an nftables table that permits, blocks or marks by the filters, and
 * policy routing (`steering-routes.ts`) that takes the marked packets to the TUN device. Pure: filters come in, the text
 * for `nft -f` goes out. `kernel-steering.ts` applies it.
 *
 *   local output ---> chain output -----+                      +-- marked --> routing table --> TUN --> packet engine
 *                                       +--> chain outbound ---+
 *   to be forwarded > chain prerouting -+                      +-- not marked --> the host's own routing
 *   from outside ---> chain input/forward --> chain inbound: clear packets that should have been secured end here
 *
 * Packets of the engine itself carry the `bypass` mark, packets it opened come in from the TUN device. When the agent
 * dies, table, rules and the unreachable routes stay: secured traffic stops, it does not go out in clear.
 */
import { addressFamily, type IpAddress, ipAddress } from '../../wire/ip/address.js';
import { rangeCovers, rangesOverlap, subnetRange } from '../../wire/ip/selector.js';
import type { DriverFilter, SoftSa } from '../api.js';
import { dialupDevicePrefixes } from '../connection-type.js';
import { hex, steeringNames } from '../kernel-names.js';
import type { SteeredPort } from './client-ports.js';
import { dispatch, matchOf } from './steering-dispatch.js';
import { tunnelErrorRules } from './steering-errors.js';

/** Value of `NoDefaultExempt` (policy-semantics.md 7): which traffic is exempt from all filters. */
export type NoDefaultExempt = 0 | 1 | 2 | 3;

/** What steering needs to know of the host. */
export interface SteeringOptions {
  /** Unlike that of any other set of rules: letters and digits. */
  readonly generation: string;
  /** Name of the TUN device. */
  readonly tun: string;
  readonly localAddresses: readonly IpAddress[];
  /** Broadcast addresses of the host's subnets. */
  readonly broadcastAddresses: readonly IpAddress[];
  /** Longest clear packet that needs no fragmenting once it is protected, whatever protects it. */
  readonly innerMtuBytes: number;
  readonly ikePort: number;
  readonly natTraversalPort: number;
  readonly noDefaultExempt: NoDefaultExempt;
  /** Elements of the set of soft SAs (`softElement`); none when absent. */
  readonly softElements?: readonly string[];
  /** What goes to these ports is secured whatever the filters say, and what comes from them in clear dropped. */
  readonly translatedPorts?: readonly SteeredPort[];
}

const { table, markMask, secureMark, bypassMark, openedMark } = steeringNames;
const isMarked = (mark: number) => `meta mark & ${hex(markMask)} == ${hex(mark)}`;
const isNotMarked = (mark: number) => `meta mark & ${hex(markMask)} != ${hex(mark)}`;
const keepOthersMark = (mark: number) => {
  const others = `meta mark & ${hex(~markMask >>> 0)}`;
  return `meta mark set ${mark === 0 ? others : `${others} | ${hex(mark)}`}`;
};

/** The comment of the rules that drop what comes in clear from a translated port. */
export const translatedComment = 'translated port';

/** The comment of the rules of filter number `index`, by which counters are found again. */
export function filterComment(index: number): string {
  return `filter ${index}`;
}

/** The set in which hosts of that family are. */
export function softSetOf({ peer }: Pick<SoftSa, 'peer'>): string {
  return steeringNames.softSets[addressFamily(peer)];
}

/** The element of a soft set for a soft SA: several of the same hosts share one. */
export function softElement({ local, peer }: Pick<SoftSa, 'local' | 'peer'>): string {
  return `${peer} . ${local}`;
}

/** The text for `nft -f -` that adds a translated port. */
export function nftTranslatedPort(port: SteeredPort): string {
  return `add element inet ${table} ${translatedSetOf(port)} { ${translatedElement(port)} }\n`;
}

function translatedSetOf({ peer }: SteeredPort): string {
  return steeringNames.translatedSets[addressFamily(peer)];
}

function translatedElement({ peer, protocol, port }: SteeredPort): string {
  return `${peer} . ${protocol} . ${port}`;
}

/** The text for `nft -f -`: replaces the whole table in one transaction. */
export function nftRuleset(filters: readonly DriverFilter[], options: SteeringOptions): string {
  const chains = [
    chain(generationChain(options.generation), []),
    chain('exempt', exemptRules(options)),
    ...filterChains('outbound', filters, options),
    chain('tunnel-errors', tunnelErrorRules(filters, `${keepOthersMark(secureMark)} accept`)),
    ...filterChains('inbound', filters, options),
    chain('output', outputRules(options), 'type route hook output priority mangle; policy accept;'),
    chain(
      'prerouting',
      preroutingRules(options),
      'type filter hook prerouting priority mangle; policy accept;',
    ),
    chain('input', inputRules(options), 'type filter hook input priority mangle; policy accept;'),
    chain('forward', forwardRules(options), 'type filter hook forward priority mangle; policy accept;'),
    chain(
      'postrouting',
      postroutingRules(options),
      'type filter hook postrouting priority mangle; policy accept;',
    ),
  ];
  return `${nftRemoval()}table inet ${table} {\n${addressSets(options)}${chains.join('')}}\n`;
}

/** An empty chain by which one set of rules is told from any other, an older one of ours put back by a firewall among them. */
export function generationChain(generation: string): string {
  return `generation_${generation}`;
}

/** The text for `nft -f -` that removes the table, whether it is there or not. */
export function nftRemoval(): string {
  return `table inet ${table}\ndelete table inet ${table}\n`;
}

function chain(name: string, rules: readonly string[], hook?: string): string {
  const lines = [...(hook === undefined ? [] : [hook]), ...rules].map(line => `    ${line}\n`);
  return `  chain ${name} {\n${lines.join('')}  }\n`;
}

function addressSets(options: SteeringOptions): string {
  const set = (name: string, addresses: readonly string[], type = 'ipv4_addr') =>
    `  set ${name} {\n    type ${type}; flags interval; auto-merge;\n${
      addresses.length === 0 ? '' : `    elements = { ${addresses.join(', ')} }\n`
    }  }\n`;
  const ofFamily = (family: 4 | 6, addresses: readonly IpAddress[]) =>
    addresses.filter(address => addressFamily(address) === family);
  const ipv4 = (addresses: readonly IpAddress[]) => ofFamily(4, addresses);
  return (
    set('own', ipv4(options.localAddresses)) +
    set('own6', ofFamily(6, options.localAddresses), 'ipv6_addr') +
    set('groups', ['224.0.0.0/4', '255.255.255.255', ...ipv4(options.broadcastAddresses)]) +
    softSet(4, options.softElements ?? []) +
    softSet(6, options.softElements ?? []) +
    translatedSet(4, options.translatedPorts ?? []) +
    translatedSet(6, options.translatedPorts ?? [])
  );
}

/** Each element counts the packets it let in. */
function softSet(family: 4 | 6, all: readonly string[]): string {
  const elements = all.filter(element => element.includes(':') === (family === 6));
  const list = elements.length === 0 ? '' : `    elements = { ${elements.join(', ')} }\n`;
  const type = `ipv${family}_addr`;
  return `  set ${steeringNames.softSets[family]} {\n    type ${type} . ${type}; counter;\n${list}  }\n`;
}

function translatedSet(family: 4 | 6, all: readonly SteeredPort[]): string {
  const elements = all.filter(({ peer }) => addressFamily(peer) === family).map(translatedElement);
  const list = elements.length === 0 ? '' : `    elements = { ${elements.join(', ')} }\n`;
  const type = `ipv${family}_addr . inet_proto . inet_service`;
  return `  set ${steeringNames.translatedSets[family]} {\n    type ${type};\n${list}  }\n`;
}

/** Rules about translated ports, `end` being theirs: before exemptions, for what uses them came protected. */
function translatedRules(end: 'source' | 'destination', verdict: string): string[] {
  const [address, port] = end === 'source' ? ['saddr', 'sport'] : ['daddr', 'dport'];
  const { translatedSets } = steeringNames;
  return [
    `ip ${address} . meta l4proto . th ${port} @${translatedSets[4]} ${verdict}`,
    `ip6 ${address} . meta l4proto . th ${port} @${translatedSets[6]} ${verdict}`,
  ];
}

/** Default exemptions. Neighbour discovery is IPv6's ARP, which no filter ever sees either. */
function exemptRules({ noDefaultExempt }: SteeringOptions): string[] {
  const groups = ['ip daddr @groups accept', 'ip6 daddr ff00::/8 accept'];
  const services = [
    'meta l4proto 46 accept',
    'meta l4proto { tcp, udp } th sport 88 accept',
    'meta l4proto { tcp, udp } th dport 88 accept',
  ];
  return [
    'icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept',
    ...(noDefaultExempt === 0 || noDefaultExempt === 1 ? groups : []),
    ...(noDefaultExempt === 0 || noDefaultExempt === 2 ? services : []),
  ];
}

function outputRules({ ikePort, natTraversalPort }: SteeringOptions): string[] {
  return [
    `meta mark ${hex(bypassMark)} accept`,
    'oifname "lo" accept',
    ...translatedRules('destination', `${keepOthersMark(secureMark)} accept`),
    `udp sport { ${ikePort}, ${natTraversalPort} } accept`,
    'jump exempt',
    'jump outbound',
    'goto tunnel-errors',
  ];
}

function preroutingRules({ tun, innerMtuBytes }: SteeringOptions): string[] {
  return [
    'iifname "lo" accept',
    ...clamp(`iifname "${tun}"`, innerMtuBytes),
    `iifname "${tun}" ${keepOthersMark(openedMark)}`,
    'ip daddr @own accept',
    'ip6 daddr @own6 accept',
    'jump exempt',
    'jump outbound',
    'goto tunnel-errors',
  ];
}

function inputRules({ tun, ikePort, natTraversalPort }: SteeringOptions): string[] {
  const ports = `{ ${ikePort}, ${natTraversalPort} }`;
  return [
    `${isNotMarked(0)} ${keepOthersMark(0)}`,
    `iifname { "lo", "${tun}" } accept`,
    'meta l4proto { esp, ah } accept',
    // IPv6 is put together after this: the first fragment, with protocol and ports, decides about all.
    'frag frag-off != 0 accept',
    `udp dport ${ports} accept`,
    // What routers and peers say of our own packets: the quoted header's protocol, or its UDP source port.
    'icmp type destination-unreachable icmp code 4 @th,136,8 { 50, 51 } accept',
    `icmp type { destination-unreachable, time-exceeded } @th,136,8 17 @th,224,16 ${ports} accept`,
    'icmpv6 type packet-too-big @th,112,8 { 50, 51 } accept',
    'icmpv6 type packet-too-big @th,112,8 44 @th,384,8 { 50, 51 } accept',
    `icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } @th,112,8 17 @th,384,16 ${ports} accept`,
    ...translatedRules('source', `counter drop comment "${translatedComment}"`),
    'jump exempt',
    'goto inbound',
  ];
}

function forwardRules({ tun }: SteeringOptions): string[] {
  return [`iifname "${tun}" accept`, 'jump exempt', 'goto inbound'];
}

function postroutingRules({ tun, innerMtuBytes }: SteeringOptions): string[] {
  return [
    ...clamp(`oifname "${tun}"`, innerMtuBytes),
    // Somebody removed our policy routing: better no traffic than clear traffic.
    `oifname != "${tun}" ${isMarked(secureMark)} drop`,
  ];
}

const ipAndTcpHeaderBytes = { ipv4: 40, ipv6: 60 } as const;

/** Lowers (the kernel never raises) the segment size a TCP SYN announces, so that no segment must be fragmented. */
function clamp(device: string, innerMtuBytes: number): string[] {
  return Object.entries(ipAndTcpHeaderBytes).map(
    ([family, headerBytes]) =>
      `${device} meta nfproto ${family} tcp flags & (syn | rst) == syn tcp option maxseg size set ${innerMtuBytes - headerBytes}`,
  );
}

/** The chain of one direction, and where filters are many, the chains it branches to. */
function filterChains(
  direction: DriverFilter['direction'],
  filters: readonly DriverFilter[],
  options: SteeringOptions,
): string[] {
  const rules = filters.flatMap((filter, index) =>
    filter.direction === direction
      ? [
          {
            filter,
            lines:
              direction === 'outbound'
                ? outboundRules(filter, index, options)
                : inboundRules(filter, index, options),
          },
        ]
      : [],
  );
  return dispatch(direction, rules).map(({ name, lines }) => chain(name, lines));
}

function outboundRules(filter: DriverFilter, index: number, options: SteeringOptions): string[] {
  const comment = `comment "${filterComment(index)}"`;
  const device = deviceMatch('oifname', filter);
  const match = `${device}${matchOf(filter.selector)}`;
  if (filter.action === 'permit') return [`${match}counter accept ${comment}`];
  const { sourcePort, destinationPort } = filter.selector;
  // Later fragments have no ports; on a gateway they come one by one, and must not slip past a filter with ports.
  const laterFragment = isIpv4(filter) ? 'ip frag-off & 0x1fff != 0' : 'frag frag-off != 0';
  const fragments =
    sourcePort === 0 && destinationPort === 0
      ? []
      : [
          `${device}${matchOf({ ...filter.selector, sourcePort: 0, destinationPort: 0 })}${laterFragment} counter drop ${comment}`,
        ];
  const verdict =
    filter.action === 'secure' && !isOfOneLink(filter)
      ? `${negotiable(filter, options)}counter ${keepOthersMark(secureMark)} accept`
      : 'counter drop';
  return [...fragments, `${match}${verdict} ${comment}`];
}

function inboundRules(filter: DriverFilter, index: number, options: SteeringOptions): string[] {
  const comment = `comment "${filterComment(index)}"`;
  const match = `${deviceMatch('iifname', filter)}${matchOf(filter.selector)}`;
  if (filter.action === 'permit') return [`${match}counter accept ${comment}`];
  if (filter.action === 'block') return [`${match}counter drop ${comment}`];
  if (filter.acceptUnsecured) return [`${match}counter accept ${comment}`];
  const soft =
    filter.allowFallback && filter.tunnelEndpoint === undefined
      ? [`${match}${softMatch(filter)} counter accept ${comment}`]
      : [];
  // On a gateway, packets on their way into a tunnel arrive in clear from the inside.
  return [
    ...soft,
    `${match}${negotiable(filter, options)}${isNotMarked(secureMark)} counter drop ${comment}`,
  ];
}

const dialupDevices = `{ ${dialupDevicePrefixes.map(prefix => `"${prefix}*"`).join(', ')} }`;

/**
 * The adapters a filter is for. Where a gateway is still to choose the way of a packet it forwards, that packet counts as
 * a LAN's; it is looked at again as one that arrived.
 */
function deviceMatch(field: 'iifname' | 'oifname', { connectionType }: DriverFilter): string {
  if (connectionType === undefined) return '';
  return `${field} ${connectionType === 'dialup' ? '' : '!= '}${dialupDevices} `;
}

/**
 * Nothing is negotiated for broadcast and multicast, even where they are not exempt, nor for the traffic of one link, whose
 * addresses mean nothing without an adapter.
 */
function negotiable(filter: DriverFilter, { noDefaultExempt }: SteeringOptions): string {
  const { source, destination } = filter.selector;
  if (isIpv4(filter)) return noDefaultExempt < 2 ? '' : 'ip daddr != @groups ';
  if (isOfOneLink(filter)) return '';
  return [
    ...(rangesOverlap(source, linkLocal) ? ['ip6 saddr != fe80::/10 '] : []),
    ...(rangesOverlap(destination, linkLocal) ? ['ip6 daddr != fe80::/10 '] : []),
    ...(noDefaultExempt < 2 ? [] : ['ip6 daddr != ff00::/8 ']),
  ].join('');
}

const linkLocal = subnetRange(ipAddress('fe80::'), 10);

/** Filters on link-local addresses alone: their traffic cannot be secured, so it does not pass. */
function isOfOneLink({ selector: { source, destination } }: DriverFilter): boolean {
  return rangeCovers(linkLocal, source) || rangeCovers(linkLocal, destination);
}

function softMatch(filter: DriverFilter): string {
  const family = isIpv4(filter) ? 'ip' : 'ip6';
  return `${family} saddr . ${family} daddr @${steeringNames.softSets[isIpv4(filter) ? 4 : 6]}`;
}

function isIpv4(filter: DriverFilter): boolean {
  return addressFamily(filter.selector.source.first) === 4;
}
