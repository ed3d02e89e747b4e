import { type FSWatcher, mkdirSync, watch } from 'node:fs';

/** Several writes of one change arrive together; the store is read once, this long after the last. */
const settleMs = 50;

/** A longer timer of Node's fires at once. */
const longestTimerMs = 0x7fff_ffff;

/** Calls `onChange` when something in a store's folder changes, and every `pollMinutes` to be sure. */
export class PolicyWatch {
  readonly #onChange: () => void;
  #watcher: FSWatcher | undefined;
  #settle: NodeJS.Timeout | undefined;
  #poll: NodeJS.Timeout | undefined;

  constructor(folder: string, onChange: () => void) {
    this.#onChange = onChange;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#watcher = watch(folder, () => {
      clearTimeout(this.#settle);
      this.#settle = setTimeout(this.#onChange, settleMs);
    });
    // The folder itself may be removed; polling goes on.
    this.#watcher.on('error', () => this.#watcher?.close());
  }

  /** Sets the polling interval of the policy in force; 0 is no polling. */
  pollEvery(minutes: number): void {
    clearInterval(this.#poll);
    if (minutes > 0) this.#poll = setInterval(this.#onChange, Math.min(minutes * 60_000, longestTimerMs));
  }

  close(): void {
    this.#watcher?.close();
    clearTimeout(this.#settle);
    clearInterval(this.#poll);
  }
}
