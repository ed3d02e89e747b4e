/** What becomes of a packet of this host: a pair protects it, it waits for one, it leaves in clear or not at all. */
import type { IpAddress } from '../../wire/ip/address.js';
import {
  addressOf,
  decodeIp,
  type IpHeader,
  isFragmentOfIp,
  isGroup,
  type PacketAddress,
} from '../../wire/ip/ip.js';
import type { DriverEvent, FilterId } from '../api.js';
import type { InstalledPair } from '../installed-pair.js';
import { answersToQuoted, type Flow, flowOf, flowSelector } from '../packet-selector.js';
import type { SaDatabase } from '../sa-database.js';
import type { Translation } from '../translations.js';
import type { AcquireQueue } from './acquire-queue.js';
import { answerTo, asClientKnows, type ClientPorts } from './client-ports.js';
import type { Counters } from './counters.js';
import type { FilterRules, OutboundRule } from './filter-rules.js';
import type { OutboundPath } from './outbound.js';
import { Reassembler } from './reassembly.js';
import type { SoftAssociations } from './soft-associations.js';

export interface OutboundFateParts {
  rules(): FilterRules;
  readonly database: SaDatabase;
  readonly clientPorts: ClientPorts;
  readonly soft: SoftAssociations;
  readonly queue: AcquireQueue;
  readonly path: OutboundPath;
  readonly counters: Counters;
  emit(event: DriverEvent): void;
  /** The address this host would send from. */
  localAddress(destination: IpAddress): IpAddress | undefined;
  /** A pair has carried a packet, or its time may be over. */
  used(pair: InstalledPair, nowMs: number): void;
}

const notSecured =
  'it was to be secured, but no filter covers it as it came here: NAT on this host changed it, or it is an ICMP error without a tunnel';

export class OutboundFate {
  readonly #parts: OutboundFateParts;
  readonly fragments: Reassembler;

  constructor(parts: OutboundFateParts) {
    this.#parts = parts;
    this.fragments = new Reassembler((packet, atMs) =>
      parts.counters.drop({ reason: 'fragment', direction: 'outbound', atMs, packet }),
    );
  }

  /** One that has waited. Its filter has counted it. Throws `WireError` for what is no packet. */
  again(packet: Uint8Array, nowMs: number): void {
    const header = decodeIp(packet);
    const flow = flowOf(packet, header);
    this.#decide(this.#parts.rules().outbound(flow), packet, header, flow, nowMs, 'waited');
  }

  /** A packet that the kernel brings. Throws `WireError` for what is none. */
  of(packet: Uint8Array, nowMs: number): void {
    const header = decodeIp(packet);
    if (!isFragmentOfIp(header)) return this.#filterWhole(packet, header, nowMs);
    // Later fragments have no ports, and transport mode protects whole packets (RFC 4301 7, RFC 2401 B.2).
    const whole = this.fragments.add(packet, header, nowMs);
    if (whole !== undefined) this.#filterWhole(whole, decodeIp(whole), nowMs);
  }

  #filterWhole(packet: Uint8Array, header: IpHeader, nowMs: number): void {
    const flow = flowOf(packet, header);
    const translation = this.#parts.clientPorts.translationOf(packet, header, flow);
    if (translation !== undefined) return this.#answer(translation, packet, header, nowMs);
    const rule = this.#parts.rules().outbound(flow);
    if (rule !== undefined) rule.packets++;
    this.#decide(rule, packet, header, flow, nowMs, 'steered');
  }

  /** An answer to a port of a client that stands for another: to that client, or nowhere. */
  #answer(translation: Translation, packet: Uint8Array, header: IpHeader, nowMs: number): void {
    const answer = answerTo(translation, packet, header);
    const flow = flowOf(answer, header);
    const rule = this.#parts.rules().outbound(flow);
    if (rule !== undefined) rule.packets++;
    if (rule?.filter.action === 'block') return this.#block(rule, packet, nowMs);
    const { client } = translation;
    const pair = this.#living(
      () => this.#parts.database.outbound(rule?.filter.id, header.destination, flow, client),
      nowMs,
    );
    if (pair === undefined)
      return this.#parts.counters.drop({ reason: 'client-gone', direction: 'outbound', atMs: nowMs, packet });
    translation.lastUsedAtMs = nowMs;
    this.#protect(pair, answer, header, nowMs, packet);
  }

  /**
   * `steered`: the kernel brings only what a filter wants secured. When no such filter covers it here, something changed it
   * on its way to us, NAT of this host mostly, or it is an ICMP error about what came out of a tunnel: it must not go in clear.
   * What `waited` may, when the filters have changed.
   */
  #decide(
    rule: OutboundRule | undefined,
    packet: Uint8Array,
    header: IpHeader,
    flow: Flow,
    nowMs: number,
    came: 'steered' | 'waited',
  ): void {
    if (rule?.filter.action === 'secure') return this.#secure(rule, packet, header, flow, nowMs);
    if (rule?.filter.action === 'block') return this.#block(rule, packet, nowMs);
    const answers = rule ? undefined : answersToQuoted(packet, header);
    const answering = answers && this.#parts.rules().outbound(answers);
    const pair = rule
      ? undefined
      : (this.#carrier(undefined, header.destination, packet, header, flow, nowMs) ??
        this.#tunnelOf(answering, answers, nowMs));
    if (pair !== undefined) return this.#protect(pair, packet, header, nowMs);
    if (came === 'waited' || answering?.filter.action === 'permit')
      return this.#parts.path.sendClear(packet, header, nowMs);
    const note = notSecured;
    this.#parts.counters.drop({
      reason: 'clear-but-secured',
      direction: 'outbound',
      atMs: nowMs,
      packet,
      note,
    });
  }

  #block(rule: OutboundRule, packet: Uint8Array, nowMs: number): void {
    rule.drops++;
    this.#parts.counters.drop({ reason: 'blocked', direction: 'outbound', atMs: nowMs, packet });
  }

  #secure(rule: OutboundRule, packet: Uint8Array, header: IpHeader, flow: Flow, nowMs: number): void {
    // Nothing is negotiated for groups: only permit and block apply to them (`policy-semantics.md` 7).
    if (rule.tunnelPeer === undefined && isGroup(header.destination))
      return this.#parts.path.sendClear(packet, header, nowMs);
    const peer = rule.tunnelPeer ?? header.destination;
    const pair = this.#carrier(rule.filter.id, peer, packet, header, flow, nowMs);
    if (pair !== undefined) return this.#protect(pair, packet, header, nowMs);
    if (this.#parts.soft.passesOutbound(rule.filter, flow))
      return this.#parts.path.sendClear(packet, header, nowMs);
    const whole = packet.subarray(0, header.totalLength);
    const { dropped, ask } = this.#parts.queue.add(rule.filter.id, peer, flowKey(flow), whole, nowMs);
    for (const one of dropped)
      this.#parts.counters.drop({
        reason: 'no-sa-queue-full',
        direction: 'outbound',
        atMs: nowMs,
        packet: one,
      });
    if (ask) this.#ask(rule, peer, flow);
  }

  #ask(rule: OutboundRule, peerNumber: PacketAddress, flow: Flow): void {
    const peer = addressOf(peerNumber);
    const source = addressOf(flow.source);
    const local =
      rule.tunnelPeer === undefined ? source : (rule.tunnelLocal ?? this.#parts.localAddress(peer));
    this.#parts.emit({
      kind: 'acquire',
      filterId: rule.filter.id,
      local: local ?? source,
      peer,
      packet: flowSelector(flow),
    });
  }

  /** The pair that carries a packet. */
  #carrier(
    filterId: FilterId | undefined,
    peer: PacketAddress,
    packet: Uint8Array,
    header: IpHeader,
    flow: Flow,
    nowMs: number,
  ): InstalledPair | undefined {
    return this.#living(
      () => this.#parts.clientPorts.carrier(filterId, peer, packet, header, flow, nowMs),
      nowMs,
    );
  }

  /** The tunnel for an ICMP error that no filter covers, by the answers to what it quotes (RFC 4301 6.2). */
  #tunnelOf(
    rule: OutboundRule | undefined,
    answers: Flow | undefined,
    nowMs: number,
  ): InstalledPair | undefined {
    const peer = rule?.tunnelPeer;
    if (rule?.filter.action !== 'secure' || peer === undefined || answers === undefined) return undefined;
    return this.#living(() => this.#parts.database.outbound(rule.filter.id, peer, answers), nowMs);
  }

  /** What `find` finds; a pair whose time is over is put aside for the next. */
  #living(find: () => InstalledPair | undefined, nowMs: number): InstalledPair | undefined {
    let pair = find();
    while (pair !== undefined && nowMs >= pair.lifetime.nextAtMs) {
      this.#parts.used(pair, nowMs);
      if (!pair.lifetime.isOver) return pair;
      pair = find();
    }
    return pair;
  }

  /** `original`: as this host sent it. */
  #protect(
    pair: InstalledPair,
    packet: Uint8Array,
    header: IpHeader,
    nowMs: number,
    original = packet,
  ): void {
    const known = pair.client === undefined ? packet : asClientKnows(pair.client, packet, header);
    this.#parts.path.protect(pair, known, header, nowMs, original);
    this.#parts.used(pair, nowMs);
  }
}

function flowKey({ source, destination, protocol, sourcePort, destinationPort }: Flow): string {
  return `${protocol} ${source} ${sourcePort} ${destination} ${destinationPort}`;
}
