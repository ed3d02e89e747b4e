/** What `sa trace` prints, from what the agent says. */
import type { DroppingFilter, DropTrace, TracedPair } from '../../agent/drop-trace.js';
import type { DropReason, DropRecord, PacketSummary, TranslatedPort } from '../../driver/api.js';
import { dropReasonNames, dropReasons } from '../../monitor/drop-reasons.js';
import { carriesPorts, protocolName } from '../../policy/protocols.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import { printSelector } from '../../wire/ip/selector.js';

/** Protocols that filters know by number only. */
const moreProtocols: Readonly<Record<number, string>> = { 50: 'ESP', 51: 'AH', 58: 'ICMPv6' };

/** Packets shown one by one. */
const shownPackets = 10;

/** SPIs as everywhere: `0x0badcafe`, or two of them for AH+ESP. */
export function spisText(spis: readonly number[]): string {
  return spis.map(spi => `0x${spi.toString(16).padStart(8, '0')}`).join('+');
}

/** `UDP 10.0.0.2:1701 appears as 192.0.2.9:30001`. */
export function translatedPortText({ protocol, client, port, appearsAs }: TranslatedPort): string {
  const name = moreProtocols[protocol] ?? protocolName(protocol);
  const at = (address: string, number: number) => {
    if (!carriesPorts(protocol)) return `${address} id ${number}`;
    return address.includes(':') ? `[${address}]:${number}` : `${address}:${number}`;
  };
  return `${name} ${at(client, port)} appears as ${at(appearsAs.address, appearsAs.port)}`;
}

/** Everything, or what a selection left of it; `ofAll` says which. */
export function traceText(trace: DropTrace, ofAll: boolean): string[] {
  return [
    ...(ofAll ? engineText(trace) : []),
    ...trace.pairs.flatMap(pairText),
    ...packetsText(trace, ofAll),
  ];
}

function engineText({ driver, drops, lastByReason, filters, toldReasons }: DropTrace): string[] {
  const counted = dropReasonNames.filter(reason => drops[reason] > 0);
  const total = counted.reduce((sum, reason) => sum + drops[reason], 0);
  return [
    `The ${driver} engine has dropped ${packetCount(total)}.`,
    ...(toldReasons === undefined
      ? []
      : [`It counts them. Of ${toldReasons.join(' and ')} it shows some, of the others none.`]),
    ...counted.flatMap(reason => {
      const last = lastByReason[reason];
      return [
        '',
        `${reason}: ${packetCount(drops[reason])}`,
        `    ${dropReasons[reason].meaning}`,
        `    ${dropReasons[reason].next}`,
        ...filters
          .filter(filter => filter.reason === reason)
          .map(filter => `    ${packetCount(filter.packets)}: ${filterText(filter)}`),
        ...(last === undefined ? [] : [`    Last: ${recordText(last)}`]),
      ];
    }),
  ];
}

function pairText(pair: TracedPair): string[] {
  const { drops, lastDrop, lastNote, translatedPorts = [] } = pair;
  const parts = dropsText(drops);
  return [
    '',
    `${printSelector(pair.selector)}  ${pair.mode} with ${pair.peer}  pair ${pair.pairId}`,
    `    SPI in ${spisText(pair.inboundSpis)}, out ${spisText(pair.outboundSpis)}; received ${packetCount(pair.packetsReceived)}, sent ${packetCount(pair.packetsSent)}`,
    `    Dropped: ${parts === '' ? 'nothing' : parts}`,
    ...(lastDrop === undefined ? [] : [`    Last: ${recordText(lastDrop)}`]),
    ...(lastNote === undefined ? [] : [`    Note: ${lastNote}`]),
    ...translatedPorts.map(translated => `    ${translatedPortText(translated)}`),
  ];
}

function packetsText({ recent }: DropTrace, ofAll: boolean): string[] {
  if (ofAll && recent.length === 0) return [];
  if (recent.length === 0) return ['', 'No dropped packet of it is remembered.'];
  return ['', 'The newest dropped packets:', ...recent.slice(-shownPackets).map(recordText)];
}

/** `replay 2, bad-spi 1`; empty when nothing was dropped. */
export function dropsText(drops: Readonly<Partial<Record<DropReason, number>>>): string {
  return dropReasonNames.flatMap(reason => (drops[reason] ? [`${reason} ${drops[reason]}`] : [])).join(', ');
}

/** One line: when, which way, why, and the packet. */
export function recordText({ atMs, direction, reason, packets, packet, inner, note }: DropRecord): string {
  return [
    `${new Date(atMs).toISOString()} ${direction} ${reason}:`,
    ...(packets > 1 ? [`${packets} packets`] : []),
    packet === undefined ? (packets > 1 ? '' : 'a packet whose headers cannot be read') : packetText(packet),
    ...(inner === undefined ? [] : [`holding ${packetText(inner)}`]),
    ...(note === undefined ? [] : [`(${note})`]),
  ]
    .filter(part => part !== '')
    .join(' ');
}

/** `192.0.2.1 -> 192.0.2.2 ESP 0x0badcafe sequence 7, 120 bytes`. */
function packetText(packet: PacketSummary): string {
  const { source, destination, protocol, sourcePort, destinationPort, spi, sequence, bytes } = packet;
  const end = (address: string, port: number | undefined) =>
    port === undefined ? address : address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const inUdp = protocol === ipProtocol.udp ? ' ESP' : '';
  const sa = spi === undefined ? '' : `${inUdp} ${spisText([spi])} sequence ${sequence ?? 0}`;
  return `${end(source, sourcePort)} -> ${end(destination, destinationPort)} ${moreProtocols[protocol] ?? protocolName(protocol)}${sa}, ${bytes} bytes`;
}

/** The filter by the name and policy people gave it, and what it covers. */
export function filterText({ name, policyName, direction, selector }: DroppingFilter): string {
  const named = name === undefined ? 'a filter' : `filter '${name}'`;
  return `${named} of '${policyName}', ${direction} ${printSelector(selector)}`;
}

export function packetCount(packets: number): string {
  return `${packets} packet${packets === 1 ? '' : 's'}`;
}
