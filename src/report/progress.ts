/** Where a progress bar is drawn: stderr. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Nothing is drawn before so much time has passed, and not more often than this. */
const patienceMs = 400;
const intervalMs = 100;

/**
 * A bar for long work, drawn on a terminal only: `checking rules [=====     ]  52 %`. Short work draws nothing.
 * Call `done` in the end, also when the work fails.
 */
export class Progress {
  readonly #title: string;
  readonly #total: number;
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  #drawAtMs: number;
  #count = 0;
  #drawn = false;

  constructor(
    title: string,
    total: number,
    stream: ProgressStream = process.stderr,
    now: () => number = () => performance.now(),
  ) {
    this.#title = title;
    this.#total = Math.max(1, total);
    this.#stream = stream;
    this.#now = now;
    this.#drawAtMs = now() + patienceMs;
  }

  /** So many more of the total are done. */
  step(count = 1): void {
    this.#count += count;
    if (this.#stream.isTTY !== true) return;
    const nowMs = this.#now();
    if (nowMs < this.#drawAtMs) return;
    this.#drawAtMs = nowMs + intervalMs;
    this.#drawn = true;
    this.#stream.write(`\r${this.#line()}\u001b[K`);
  }

  /** Takes the bar away. */
  done(): void {
    if (this.#drawn) this.#stream.write('\r\u001b[K');
    this.#drawn = false;
  }

  #line(): string {
    const share = Math.min(1, this.#count / this.#total);
    const percent = `${Math.floor(100 * share)}`.padStart(3);
    const width = Math.max(10, Math.min(40, (this.#stream.columns ?? 80) - this.#title.length - 10));
    const filled = Math.round(width * share);
    return `${this.#title} [${'='.repeat(filled)}${' '.repeat(width - filled)}] ${percent} %`;
  }
}
