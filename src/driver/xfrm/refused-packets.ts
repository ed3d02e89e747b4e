/**
 * What packets the kernel refuses. It counts them and tells nobody. So where a count grows, packets are looked at on their
 * way in, for a moment: those of an SPI that has no state, and those whose ICV is wrong. While nothing grows this costs one
 * small file read a second.
 */
import { randomFillSync } from 'node:crypto';
import { RandomPool } from '../../crypto/random-pool.js';
import { decodeAh } from '../../wire/ah.js';
import { espSequence, suitsLayout } from '../../wire/esp.js';
import type { IpAddress } from '../../wire/ip/address.js';
import { orUndefined, upperStart } from '../../wire/ip/ip.js';
import type { XfrmStateId, XfrmStateReport } from '../../wire/netlink/xfrm-state.js';
import type { DriverEvent, DropHistory, DropReason, SaHalf, SaPair } from '../api.js';
import { DropLog } from '../drop-log.js';
import { sequenceHigh } from '../extended-sequence.js';
import { InstalledPair } from '../installed-pair.js';
import { steadyClock } from '../steady-clock.js';
import { truncationNote } from '../truncation.js';
import type { PacketWatch, WatchedPacket } from '../userspace/packet-watch.js';
import { type Arrival, arrivalOf } from './arrival.js';
import type { PairRecord } from './pair-book.js';
import { protocolNumbers } from './states.js';
import { type Counters, dropsSince, notAuthenticated, type ReportsByPair } from './statistics.js';

const lookMs = 1_000;
/** A peer that repeats what it gets no answer to does so within this time. */
const sampleMs = 5_000;
/** On a busy host they are seen in a moment. */
const samplePackets = 10_000;
/** Found in one sample, which then ends. */
const sampleFinds = 16;
/** Each of which costs a request or a decryption. */
const sampleTries = 256;
/** Between two samples. */
const restMs = 10_000;

/** The reasons of which packets are told. */
const told: readonly DropReason[] = ['bad-spi', 'not-authenticated'];

/** What it needs of the kernel and the engine. */
export interface RefusalSources {
  /** The kernel's counters. */
  counters(): Counters;
  /** This host's own: what it forwards is not refused. */
  localAddresses(): readonly IpAddress[];
  pairs(): Iterable<PairRecord>;
  /** All states of ours as they are. */
  reports(): ReportsByPair;
  receivingWith(protocol: SaHalf['protocol'], spi: number, local: IpAddress): PairRecord | undefined;
  /** Whether the kernel has it, whoever's it is. */
  hasState(id: XfrmStateId): boolean;
  /** Starts showing what IPsec says on all devices. Throws `IpseckitError`. */
  watch(
    onPackets: (packets: readonly WatchedPacket[]) => void,
    onFailure: (error: Error) => void,
  ): PacketWatch;
  emit(event: DriverEvent): void;
}

interface Sample {
  readonly watch: PacketWatch;
  readonly timer: NodeJS.Timeout;
  readonly local: ReadonlySet<IpAddress>;
  /** SAs that are not ours and are known to have a state, or have been told. */
  readonly settled: Set<string>;
  /** When pairs were removed meanwhile, by their inbound SAs. */
  readonly goneAtNs: Map<string, bigint>;
  packets: number;
  finds: number;
  tries: number;
}

/** Watches the counters while it is open. */
export class RefusedPackets {
  readonly #sources: RefusalSources;
  readonly #log = new DropLog();
  #before: Counters;
  #found = 0;
  #look: NodeJS.Timeout | undefined;
  #sample: Sample | undefined;
  #restUntilMs = 0;

  constructor(sources: RefusalSources) {
    this.#sources = sources;
    this.#before = sources.counters();
  }

  open(): void {
    this.#look = setInterval(() => this.look(), lookMs).unref();
  }

  close(): void {
    clearInterval(this.#look);
    this.#end();
  }

  /** Looks at the counters once. */
  look(): void {
    const now = this.#sources.counters();
    const drops = dropsSince(this.#before, now);
    this.#before = now;
    const dropped = Object.values(drops).reduce((sum, packets) => sum + packets, 0);
    this.#log.pass(Math.max(0, dropped - this.#found));
    this.#found = 0;
    if (!told.some(reason => drops[reason] > 0)) return;
    try {
      if (drops['not-authenticated'] > 0) this.#suspect();
      if (this.#sample === undefined && steadyClock.nowMs() >= this.#restUntilMs) this.#begin();
    } catch {
      // Without the privilege to see packets there are counts only.
      this.#restUntilMs = Number.POSITIVE_INFINITY;
    }
  }

  /** A pair is gone: what came before that was for an SA that was there. */
  removed({ inbound, local }: SaPair): void {
    const nowNs = BigInt(Date.now() + 1) * 1_000_000n;
    for (const { protocol, spi } of inbound) this.#sample?.goneAtNs.set(saKey(protocol, spi, local), nowNs);
  }

  history(): DropHistory {
    return { ...this.#log.history(), byFilter: new Map(), told };
  }

  /** Marks the pairs whose states have counted a wrong ICV. */
  #suspect(): void {
    const reports = this.#sources.reports();
    for (const record of this.#sources.pairs()) {
      const states = reports.get(record.requestId) ?? [];
      const failed = notAuthenticated(states);
      if (failed <= record.notAuthenticated) continue;
      record.notAuthenticated = failed;
      record.suspect ??= new InstalledPair(
        record.pair,
        new RandomPool(length => randomFillSync(new Uint8Array(length))),
        steadyClock.nowMs(),
      );
      followNumbers(record.suspect, states);
    }
  }

  #begin(): void {
    const watch = this.#sources.watch(
      packets => this.#onPackets(packets),
      () => this.#end(),
    );
    const timer = setTimeout(() => this.#end(), sampleMs).unref();
    const local = new Set(this.#sources.localAddresses());
    this.#sample = {
      watch,
      timer,
      local,
      settled: new Set(),
      goneAtNs: new Map(),
      packets: 0,
      finds: 0,
      tries: 0,
    };
  }

  #end(): void {
    const sample = this.#sample;
    if (sample === undefined) return;
    this.#sample = undefined;
    clearTimeout(sample.timer);
    sample.watch.close();
    this.#restUntilMs = steadyClock.nowMs() + restMs;
  }

  #onPackets(packets: readonly WatchedPacket[]): void {
    for (const { bytes, direction, timestampNs } of packets) {
      const sample = this.#sample;
      if (sample === undefined) return;
      if (++sample.packets >= samplePackets) return this.#end();
      const arrival = direction === 'inbound' ? arrivalOf(bytes) : undefined;
      if (arrival === undefined || !sample.local.has(arrival.local.address)) continue;
      try {
        this.#examine(arrival, timestampNs, sample);
      } catch {
        return this.#end(); // The kernel does not answer; others say so.
      }
      if (sample.finds >= sampleFinds || sample.tries >= sampleTries) return this.#end();
    }
  }

  #examine(arrival: Arrival, timestampNs: bigint, sample: Sample): void {
    const { protocol, spi, local } = arrival;
    const record = this.#sources.receivingWith(protocol, spi, local.address);
    const key = saKey(protocol, spi, local.address);
    if (record?.suspect !== undefined) {
      sample.tries++;
      const { suspect } = record;
      if (record.inboundUsed) suspect.lastInboundAtMs ??= steadyClock.nowMs();
      // Extension headers may be malformed.
      const fault = orUndefined(() => icvFault(suspect, arrival));
      if (fault !== undefined) this.#drop('not-authenticated', arrival, sample, suspect, fault.note);
    } else if (record === undefined && !sample.settled.has(key)) {
      if (timestampNs < (sample.goneAtNs.get(key) ?? 0n)) return;
      sample.tries++;
      sample.settled.add(key);
      const id = { destination: local.address, spi, protocol: protocolNumbers[protocol] };
      if (this.#sources.hasState(id)) return;
      this.#drop('bad-spi', arrival, sample);
      this.#sources.emit({ kind: 'unknownSpi', protocol, spi, local, peer: arrival.peer });
    }
  }

  #drop(
    reason: DropReason,
    { packet, udp }: Arrival,
    sample: Sample,
    pair?: InstalledPair,
    note?: string,
  ): void {
    sample.finds++;
    this.#found++;
    const record = this.#log.add({
      ...{ reason, direction: 'inbound', atMs: steadyClock.nowMs() },
      ...{ packet: udp ?? packet, pair, note },
    });
    pair?.countDrop(record);
  }
}

function saKey(protocol: SaHalf['protocol'], spi: number, local: IpAddress): string {
  return `${protocol} ${spi} ${local}`;
}

/** Whether the ICV is wrong, and what is known of the cause. */
function icvFault(
  pair: InstalledPair,
  { protocol, packet, header, body }: Arrival,
): { readonly note: string | undefined } | undefined {
  if (protocol === 'ah') {
    const transform = pair.inboundAh?.transform;
    const ah = orUndefined(() => decodeAh(body));
    if (transform === undefined || ah === undefined) return undefined;
    const start = upperStart(header);
    const { totalLength } = header;
    const high = sequenceHigh(pair.inboundAh?.window.numberOf(ah.sequence) ?? 0);
    const genuine = transform.verify(packet, totalLength, start, high);
    if (genuine && ah.icv.length >= transform.icvBytes) return undefined;
    const other = () => transform.otherIcvBytes(packet, totalLength, start, high);
    return { note: truncationNote(pair, transform.icvBytes, other) };
  }
  if (pair.inboundEsp === undefined) return undefined;
  const { layout, opener, window } = pair.inboundEsp;
  const high = sequenceHigh(window.numberOf(espSequence(body)));
  if (suitsLayout(body, layout) && opener.open([body], [high])[0] !== undefined) return undefined;
  return { note: truncationNote(pair, layout.icvBytes, () => opener.otherIcvBytes(body, high)) };
}

/** Takes over where the kernel's windows stand: what extended sequence numbers are told by. */
function followNumbers(pair: InstalledPair, states: readonly XfrmStateReport[]): void {
  for (const { id, replay } of states) {
    const half = id.protocol === protocolNumbers.esp ? pair.inboundEsp : pair.inboundAh;
    if (half?.spi !== id.spi || id.destination !== pair.pair.local || replay === undefined) continue;
    if (replay.inbound > half.window.top) half.window.accept(replay.inbound);
  }
}
