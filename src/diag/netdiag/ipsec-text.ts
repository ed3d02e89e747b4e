/**
 * What the IP Security test prints below its result (`netdiag.md` 4.3 and 4.5), without the outer indent. Filter
 * labels are those of the published samples; the rest is in their style.
 */
import type { DriverFilter, PairStatistics } from '../../driver/api.js';
import type { MainModeInfo, QuickModeInfo } from '../../ike/info.js';
import { dropReasonNames } from '../../monitor/drop-reasons.js';
import {
  ikeStatisticsLines,
  ipsecStatisticsLines,
  printStatistics,
} from '../../monitor/statistics-labels.js';
import {
  describeSequence,
  printMainModeMethod,
  printMethodLimits,
  printMethodPfs,
  printSuite,
} from '../../policy/ipsecpol/security-method.js';
import {
  type KeyExchangeSettings,
  type NegotiateAction,
  policyDefaults,
  type SecurityMethod,
} from '../../policy/model.js';
import { printMainModeLimits } from '../../policy/print-policy.js';
import { addressFamily, anyIpv4, type IpAddress } from '../../wire/ip/address.js';
import { type AddressRange, prefixLengthOf, prefixToMask, printRange } from '../../wire/ip/selector.js';
import type { IpsecFilter, IpsecTestInput } from './ipsec-input.js';

/** `Main mode policy: …` and its rekey limits. */
export function keyExchangeText(settings: KeyExchangeSettings): string[] {
  return [
    `Main mode policy: ${settings.methods.map(printMainModeMethod).join(' ')}`,
    `Main mode rekey: ${printMainModeLimits(settings)}`,
  ];
}

export function mainModesText({ mainModes, nowMs }: IpsecTestInput): string[] {
  return [
    `There are ${mainModes.length} main mode SAs`,
    ...mainModes.flatMap(sa => mainModeText(sa, nowMs).map(text => `    ${text}`)),
  ];
}

export function quickModesText({ quickModes, pairs, nowMs }: IpsecTestInput): string[] {
  return [
    `There are ${quickModes.length} quick mode SAs`,
    ...quickModes.flatMap(sa => {
      const used = pairs.find(({ pairId }) => pairId === sa.pair.id);
      const usedKilobytes = Math.ceil(((used?.bytesSent ?? 0) + (used?.bytesReceived ?? 0)) / 1024);
      return [...quickModeText(sa, usedKilobytes, nowMs), ...dropsText(used)].map(text => `    ${text}`);
    }),
  ];
}

/** What was dropped of a pair, and what is known of the cause, where there is anything to say. */
function dropsText({ drops = {}, lastNote }: Partial<PairStatistics> = {}): string[] {
  const counted = dropReasonNames.flatMap(reason => (drops[reason] ? [`${reason} ${drops[reason]}`] : []));
  return [
    ...(counted.length === 0 ? [] : [`    Dropped ${counted.join(', ')}`]),
    ...(lastNote === undefined ? [] : [`    Note: ${lastNote}`]),
  ];
}

/** Soft SAs, where there are any. */
export function softAssociationsText({ softAssociations = [], nowMs }: IpsecTestInput): string[] {
  if (softAssociations.length === 0) return [];
  return [
    `There are ${softAssociations.length} soft SAs`,
    ...softAssociations.flatMap(({ selector, idleSeconds, lastUsedAtMs }) => {
      const { protocol, sourcePort, destinationPort } = selector;
      const leftMs = lastUsedAtMs + idleSeconds * 1_000 - nowMs;
      return [
        `    ${printRange(selector.source)} -> ${printRange(selector.destination)}  proto ${protocol} ports ${sourcePort}/${destinationPort}  None (clear)`,
        `        Expires ${seconds(leftMs)} s when idle`,
      ];
    }),
  ];
}

/** `There are N filters` and each of them, in matching order. */
export function filtersText(filters: readonly IpsecFilter[]): string[] {
  return [`There are ${filters.length} filters`, ...filters.flatMap(filterText)];
}

export function ikeStatisticsText({ statistics }: IpsecTestInput): string[] {
  return statistics === undefined
    ? []
    : indented(printStatistics('IKE Statistics', ikeStatisticsLines, statistics.ike));
}

export function ipsecStatisticsText({ statistics }: IpsecTestInput): string[] {
  return statistics === undefined
    ? []
    : indented(printStatistics('IPsec Statistics', ipsecStatisticsLines, statistics.driver));
}

/** The counters stand four columns further in than their heading. */
function indented([title = '', underline = '', ...counters]: readonly string[]): string[] {
  return [title, underline, ...counters.map(counter => `    ${counter}`)];
}

function mainModeText(sa: MainModeInfo, nowMs: number): string[] {
  const method = sa.method === undefined ? sa.state : printMainModeMethod(sa.method);
  const authentication = sa.authentication === undefined ? '' : `  ${authenticationName(sa.authentication)}`;
  const age = sa.establishedAtMs === undefined ? '' : `  Age ${seconds(nowMs - sa.establishedAtMs)} s`;
  return [
    `${sa.local} - ${sa.peer}  ${method}${authentication}  ${sa.role}`,
    `    I-Cookie ${sa.initiatorCookie}  R-Cookie ${sa.responderCookie}`,
    `    Quick modes ${sa.quickModes}${age}${expiry(sa.expiresAtMs, nowMs)}`,
  ];
}

function quickModeText(sa: QuickModeInfo, usedKilobytes: number, nowMs: number): string[] {
  const { selector, mode, lifetime, peer } = sa.pair;
  const { protocol, sourcePort, destinationPort } = selector;
  const spis = (halves: QuickModeInfo['inbound']) =>
    halves.map(({ spi }) => `${spi} (0x${spi.toString(16).padStart(8, '0')})`).join(' + ');
  const left = [
    ...(sa.expiresAtMs === undefined ? [] : [`${seconds(sa.expiresAtMs - nowMs)} s`]),
    ...(lifetime.hardKilobytes === 0 ? [] : [`${Math.max(0, lifetime.hardKilobytes - usedKilobytes)} KB`]),
  ];
  return [
    `${printRange(selector.source)} -> ${printRange(selector.destination)}  proto ${protocol} ports ${sourcePort}/${destinationPort}  ${printSuite(sa.method)}${describeSequence(sa.method)}  ${mode === 'tunnel' ? 'Tunnel' : 'Transport'}`,
    `    Inbound SPI ${spis(sa.inbound)}  Outbound SPI ${spis(sa.outbound)}`,
    `    Expires ${left.length === 0 ? 'never' : left.join(' / ')}   Tunnel ${mode === 'tunnel' ? peer : anyIpv4}`,
  ];
}

function filterText({ filter, action, authentication }: IpsecFilter): string[] {
  const { selector, tunnelEndpoint = anyIpv4 } = filter;
  const source = addressAndMask(selector.source);
  const destination = addressAndMask(selector.destination);
  return [
    filter.name ?? 'No Name',
    ...[
      `Filter Id: ${filter.id}`,
      `Policy Id: ${filter.policyId}`,
      ...(action.kind === 'negotiate' ? negotiationText(action, authentication) : []),
      columns(`Src Addr : ${source.address}`, `Src Mask : ${source.mask}`),
      columns(`Dest Addr : ${destination.address}`, `Dest Mask : ${destination.mask}`),
      columns(
        `Tunnel Addr : ${tunnelEndpoint}`,
        `Src Port : ${selector.sourcePort}    Dest Port : ${selector.destinationPort}`,
      ),
      columns(
        `Protocol : ${selector.protocol}`,
        `TunnelFilter: ${filter.tunnelEndpoint === undefined ? 'No' : 'Yes'}`,
      ),
      `Flags : ${flags(filter)}`,
    ].map(text => `    ${text}`),
  ];
}

/** Fields stand in pairs, the second at a fixed column. */
function columns(left: string, right: string): string {
  return `${left.padEnd(24)}  ${right}`;
}

function flags({ direction, action }: DriverFilter): string {
  const words = { permit: ' Pass', block: ' Block', secure: '' } as const;
  return `${direction === 'inbound' ? 'Inbound' : 'Outbound'}${words[action]}`;
}

function negotiationText(action: NegotiateAction, authentication: readonly string[]): string[] {
  const { methods, allowFallback, acceptUnsecured } = action;
  const yesNo = (value: boolean) => (value ? 'Yes' : 'No');
  const pfs = methods.some(method => method.pfs !== undefined);
  const inbound = acceptUnsecured ? ', accepts clear inbound' : '';
  return [
    `Negotiation: ${count(methods, 'offer')}, soft SA ${yesNo(allowFallback)}, PFS ${yesNo(pfs)}${inbound}`,
    ...methods.map((method, i) => `    Offer ${i + 1}: ${offerText(method)}`),
    `Authentication: ${count(authentication, 'method')}`,
    ...authentication.map((method, i) => `    Method ${i + 1}: ${authenticationText(method)}`),
  ];
}

/** The offer with the limits in force: the defaults where the policy sets none. */
function offerText(method: SecurityMethod): string {
  const limits = printMethodLimits({
    lifetimeSeconds: method.lifetimeSeconds || policyDefaults.quickModeLifetimeSeconds,
    lifetimeKilobytes: method.lifetimeKilobytes || policyDefaults.quickModeLifetimeKilobytes,
  });
  const words = [printSuite(method), limits, printMethodPfs(method)].filter(part => part !== '').join(' ');
  return words + describeSequence(method);
}

/** `text` is the agent's word for a method: `preshared`, `kerberos` or `certificate: CA`. */
function authenticationText(text: string): string {
  if (text === 'preshared') return 'PRESHARE (key not shown)';
  if (text === 'kerberos') return 'KERBEROS';
  return text.replace(/^certificate: (.*)$/s, 'CERT:"$1"');
}

function authenticationName(kind: NonNullable<MainModeInfo['authentication']>): string {
  return { preshared: 'PRESHARE', kerberos: 'KERBEROS', certificate: 'CERT' }[kind];
}

function addressAndMask(range: AddressRange): { address: IpAddress; mask: string } {
  const prefixLength = prefixLengthOf(range);
  if (prefixLength === undefined) return { address: range.first, mask: `to ${range.last}` };
  return {
    address: range.first,
    mask: addressFamily(range.first) === 4 ? prefixToMask(prefixLength) : `/${prefixLength}`,
  };
}

function count(list: readonly unknown[], noun: string): string {
  return `${list.length} ${noun}${list.length === 1 ? '' : 's'}`;
}

function expiry(expiresAtMs: number | undefined, nowMs: number): string {
  return expiresAtMs === undefined ? '' : `  Expires ${seconds(expiresAtMs - nowMs)} s`;
}

function seconds(milliseconds: number): number {
  return Math.max(0, Math.round(milliseconds / 1000));
}
