import type { PairRecord } from './pair-book.js';
import { pairStatisticsOf, type ReportsByPair } from './statistics.js';

/** New pairs are looked at this often, older ones that. */
const freshPairMs = 10_000;
const freshLookMs = 250;
const laterLookMs = 2_000;

/** Finds out which pairs their peers use: the kernel does not tell of the first packet on an SA. */
export class FirstUses {
  readonly #pairs: () => Iterable<PairRecord>;
  readonly #reports: () => ReportsByPair;
  readonly #onUsed: (record: PairRecord) => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    pairs: () => Iterable<PairRecord>,
    reports: () => ReportsByPair,
    onUsed: (record: PairRecord) => void,
  ) {
    this.#pairs = pairs;
    this.#reports = reports;
    this.#onUsed = onUsed;
  }

  /** Looks while there is a pair that nobody has used yet; to be called when there is a new one. */
  watch(): void {
    clearTimeout(this.#timer);
    const unused = [...this.#pairs()].filter(record => !record.inboundUsed);
    if (unused.length === 0) return;
    const youngest = Math.max(...unused.map(({ installedAtMs }) => installedAtMs));
    const fresh = performance.now() - youngest < freshPairMs;
    this.#timer = setTimeout(() => this.#look(), fresh ? freshLookMs : laterLookMs).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    const reports = this.#reports();
    for (const record of this.#pairs()) {
      if (record.inboundUsed) continue;
      if (pairStatisticsOf(record, reports.get(record.requestId) ?? []).packetsReceived === 0) continue;
      record.inboundUsed = true;
      this.#onUsed(record);
    }
    this.watch();
  }
}
