/** A capture under way: it watches devices, takes keys, and writes both until it ends. */
import { rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type PacketWatch, watchPackets } from '../../driver/userspace/packet-watch.js';
import type { ExportedKeys } from '../../ike/api.js';
import { wiresharkLines } from '../../monitor/wireshark-keys.js';
import type { KeyFiles } from '../key-files.js';
import { CaptureFile } from './capture-file.js';
import { type CapturedInterface, type CaptureFilter, CaptureRecorder, type CaptureSide } from './recorder.js';
import { type CapturePaths, makeWiresharkFolder, replayCommand, tsharkCommand } from './wireshark-folder.js';

/** Why a capture ended. */
export type CaptureEnd =
  | 'interrupted'
  | 'duration'
  | 'count'
  | 'max-size'
  | 'agent stopped'
  | 'tunnel up'
  | 'tunnel down'
  | 'tunnel not up';

export interface CaptureOptions {
  readonly paths: CapturePaths;
  /** Written into the file. */
  readonly application: string;
  /** Whether keys are taken; without them nothing but packets is written. */
  readonly withKeys: boolean;
  /** The device that packets in clear cross; absent where there is none. */
  readonly innerDevice?: string;
  readonly filter?: CaptureFilter;
  readonly count?: number;
  readonly maxBytes?: number;
  readonly durationSeconds?: number;
}

/** What a capture came to. */
export interface CaptureSummary {
  readonly file: string;
  readonly bytes: number;
  readonly interfaces: readonly CapturedInterface[];
  readonly keys?: {
    readonly folder: string;
    readonly ike: number;
    readonly esp: number;
    /** Of the ESP SAs, those with extended sequence numbers. */
    readonly extendedSequence: number;
  };
  readonly seconds: number;
  readonly endedBy: CaptureEnd;
  /** Opens it decrypted, in a shell. */
  readonly open: string;
  /** Has what IKE said in it explained. */
  readonly explain: string;
}

/** The last packets are on their way to us for so long. */
const settleMs = 150;

export class Capture {
  readonly #options: CaptureOptions;
  readonly #watches: { readonly side: CaptureSide; readonly watch: PacketWatch }[] = [];
  readonly #file: CaptureFile;
  readonly #keyFiles: KeyFiles | undefined;
  readonly #recorder: CaptureRecorder;
  readonly #startedAtMs = Date.now();
  readonly #keyLines = { ikev1_decryption_table: new Set<string>(), esp_sa: new Set<string>() };
  #extendedSequence = 0;
  readonly #timer: NodeJS.Timeout | undefined;
  #end: (end: CaptureEnd) => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #isOver = false;
  /** Resolves when a limit is reached; rejects when it cannot go on. */
  readonly ended: Promise<CaptureEnd>;

  /** Throws `IpseckitError`: CONFLICT when a file is there, ACCESS_DENIED, ENVIRONMENT; nothing is left behind then. */
  constructor(options: CaptureOptions) {
    this.#options = options;
    this.ended = new Promise((resolveEnd, reject) => {
      this.#end = resolveEnd;
      this.#fail = reject;
    });
    // Whoever closes before asking must not be killed by it.
    this.ended.catch(() => {});
    const { paths, withKeys, innerDevice, filter, durationSeconds } = options;
    try {
      this.#watch('wire', filter?.device, true);
      if (innerDevice !== undefined) this.watchInner(innerDevice);
      this.#file = new CaptureFile(paths.file);
      try {
        this.#keyFiles = withKeys ? makeWiresharkFolder(paths.keys) : undefined;
        this.#recorder = new CaptureRecorder(block => this.#file.write(block), options.application, filter);
      } catch (error) {
        this.#file.close();
        rmSync(paths.file, { force: true });
        throw error;
      }
    } catch (error) {
      for (const { watch } of this.#watches) watch.close();
      throw error;
    }
    if (durationSeconds !== undefined)
      this.#timer = setTimeout(() => this.stop('duration'), durationSeconds * 1000);
  }

  /** Watches the device of packets in clear, which has come into being meanwhile. Throws `IpseckitError` (ENVIRONMENT). */
  watchInner(device: string): void {
    this.#watch('inner', device, false);
  }

  /** Writes the lines of key material that Wireshark wants; the same again is no news. */
  addKeys(keys: ExportedKeys): void {
    if (this.#keyFiles === undefined || this.#isOver) return;
    const news = wiresharkLines(keys).filter(({ table, line }) => !this.#keyLines[table].has(line));
    for (const { table, line } of news) this.#keyLines[table].add(line);
    if (keys.kind === 'sa' && keys.pair.extendedSequence) this.#extendedSequence += news.length;
    try {
      if (news.length > 0) this.#keyFiles.writeLines(news);
    } catch (error) {
      this.#isOver = true;
      this.#fail(error);
    }
  }

  /** Ends the recording; `close` still has to be called. */
  stop(end: CaptureEnd): void {
    this.#end(end);
  }

  /** Takes the last packets and ends the files. */
  async close(endedBy: CaptureEnd): Promise<CaptureSummary> {
    clearTimeout(this.#timer);
    if (!this.#isOver) await sleep(settleMs);
    this.#isOver = true;
    for (const { side, watch } of this.#watches) {
      this.#recorder.lost(side, watch.drops());
      watch.close();
    }
    const { paths } = this.#options;
    const [file, folder] = [resolve(paths.file), resolve(paths.keys)];
    try {
      const interfaces = this.#recorder.finish(BigInt(Date.now()) * 1_000_000n);
      const { ikev1_decryption_table: ike, esp_sa: esp } = this.#keyLines;
      return {
        file,
        bytes: this.#file.bytes,
        interfaces,
        ...(this.#keyFiles === undefined
          ? {}
          : { keys: { folder, ike: ike.size, esp: esp.size, extendedSequence: this.#extendedSequence } }),
        seconds: (Date.now() - this.#startedAtMs) / 1000,
        endedBy,
        explain: replayCommand(file),
        open: tsharkCommand({ file, keys: folder }, this.#keyFiles !== undefined),
      };
    } finally {
      this.#file.close();
    }
  }

  #watch(side: CaptureSide, device: string | undefined, ipsecOnly: boolean): void {
    const watch = watchPackets(
      { ...(device === undefined ? {} : { device }), ipsecOnly },
      packets => {
        for (const packet of packets) {
          if (this.#isOver) return;
          try {
            if (this.#recorder.add(side, packet)) this.#checkLimits();
          } catch (error) {
            this.#isOver = true;
            this.#fail(error);
          }
        }
      },
      // The inner device goes with the agent, one on the wire when somebody removes it.
      error => (side === 'inner' ? this.stop('agent stopped') : this.#fail(error)),
    );
    this.#watches.push({ side, watch });
  }

  #checkLimits(): void {
    const { count, maxBytes } = this.#options;
    const full = maxBytes !== undefined && this.#file.bytes >= maxBytes;
    const enough = count !== undefined && this.#recorder.packets >= count;
    if (!full && !enough) return;
    this.#isOver = true;
    this.stop(full ? 'max-size' : 'count');
  }
}
