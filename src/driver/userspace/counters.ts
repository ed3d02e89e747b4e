import type { DriverStatistics } from '../api.js';
import { DropLog, type DroppedPackets } from '../drop-log.js';
import type { InstalledPair } from '../installed-pair.js';
import { noDrops } from '../no-drops.js';

/** What the engine counts over its whole life; the names are those of `DriverStatistics`. */
export class Counters {
  keyAdditions = 0;
  keyDeletions = 0;
  rekeys = 0;
  #confidentialBytesSent = 0;
  #confidentialBytesReceived = 0;
  #authenticatedBytesSent = 0;
  #authenticatedBytesReceived = 0;
  #transportBytesSent = 0;
  #transportBytesReceived = 0;
  #tunnelBytesSent = 0;
  #tunnelBytesReceived = 0;
  readonly #drops = noDrops();
  /** What is remembered of dropped packets. */
  readonly dropLog = new DropLog();

  /** Counts and remembers dropped packets, for the pair too when it is known. */
  drop(dropped: DroppedPackets): void {
    if (dropped.packets === 0) return;
    const record = this.dropLog.add(dropped);
    this.#drops[record.reason] += record.packets;
    dropped.pair?.countDrop(record);
  }

  /** Counts a protected packet; `bytes` is the length of the clear IP packet. */
  sent(pair: InstalledPair, bytes: number, nowMs: number): void {
    pair.packetsSent++;
    pair.bytesSent += bytes;
    pair.lastOutboundAtMs = nowMs;
    if (pair.isConfidential) this.#confidentialBytesSent += bytes;
    if (pair.isAuthenticated) this.#authenticatedBytesSent += bytes;
    if (pair.isTunnel) this.#tunnelBytesSent += bytes;
    else this.#transportBytesSent += bytes;
  }

  /** Counts an opened packet; `bytes` is the length of the clear IP packet. */
  received(pair: InstalledPair, bytes: number): void {
    pair.packetsReceived++;
    pair.bytesReceived += bytes;
    if (pair.isConfidential) this.#confidentialBytesReceived += bytes;
    if (pair.isAuthenticated) this.#authenticatedBytesReceived += bytes;
    if (pair.isTunnel) this.#tunnelBytesReceived += bytes;
    else this.#transportBytesReceived += bytes;
  }

  statistics(
    now: Pick<DriverStatistics, 'activeAssociations' | 'pendingKeys' | 'activeTunnels'>,
  ): DriverStatistics {
    return {
      ...now,
      keyAdditions: this.keyAdditions,
      keyDeletions: this.keyDeletions,
      rekeys: this.rekeys,
      badSpiPackets: this.#drops['bad-spi'],
      packetsNotDecrypted: this.#drops['not-decrypted'],
      packetsNotAuthenticated: this.#drops['not-authenticated'],
      packetsWithReplayDetection: this.#drops.replay,
      confidentialBytesSent: this.#confidentialBytesSent,
      confidentialBytesReceived: this.#confidentialBytesReceived,
      authenticatedBytesSent: this.#authenticatedBytesSent,
      authenticatedBytesReceived: this.#authenticatedBytesReceived,
      transportBytesSent: this.#transportBytesSent,
      transportBytesReceived: this.#transportBytesReceived,
      tunnelBytesSent: this.#tunnelBytesSent,
      tunnelBytesReceived: this.#tunnelBytesReceived,
      drops: { ...this.#drops },
    };
  }
}
