/** A wake-up that was asked for. `cancelled` is set by `TimerQueue.cancel`, and once it has run. */
export interface Timer {
  readonly atMs: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** Cancelled entries that are kept in any case: to drop a few is not worth the work. */
const fewCancelled = 64;

/**
 * Wake-ups in order of time. It has no clock: whoever owns it says what time it is (`takeDue`), so hours pass in
 * milliseconds in a test.
 */
export class TimerQueue {
  /** A binary heap by `atMs`; cancelled entries stay until they surface or are too many. */
  #heap: Timer[] = [];
  #cancelled = 0;

  schedule(atMs: number, run: () => void): Timer {
    const entry: Timer = { atMs, run, cancelled: false };
    this.#heap.push(entry);
    this.#siftUp(this.#heap.length - 1);
    return entry;
  }

  /** Safe to call for a timer that has run, was cancelled, or was never set. */
  cancel(timer: Timer | undefined): void {
    if (timer === undefined || timer.cancelled) return;
    timer.cancelled = true;
    this.#cancelled++;
    if (this.#cancelled > fewCancelled && this.#cancelled > this.#heap.length / 2) this.#compact();
  }

  /** Entries kept, cancelled ones among them. */
  get size(): number {
    return this.#heap.length;
  }

  /** When the next wake-up is due; `undefined` when there is none. */
  nextMs(): number | undefined {
    this.#dropCancelled();
    return this.#heap[0]?.atMs;
  }

  /** Takes out the next entry that is due at `nowMs`. */
  takeDue(nowMs: number): (() => void) | undefined {
    this.#dropCancelled();
    const first = this.#heap[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    this.#removeFirst();
    first.cancelled = true;
    return first.run;
  }

  #dropCancelled(): void {
    while (this.#heap[0]?.cancelled) {
      this.#cancelled--;
      this.#removeFirst();
    }
  }

  /** A timer of hours that was cancelled must not hold for hours what it would have woken. */
  #compact(): void {
    const live = this.#heap.filter(({ cancelled }) => !cancelled);
    this.#cancelled = 0;
    // A sorted list is a heap.
    this.#heap = live.sort((a, b) => a.atMs - b.atMs);
  }

  #removeFirst(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#siftDown();
  }

  #siftUp(start: number): void {
    let child = start;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (this.#at(parent) <= this.#at(child)) return;
      this.#swap(parent, child);
      child = parent;
    }
  }

  #siftDown(): void {
    let parent = 0;
    for (;;) {
      let smallest = parent;
      for (const child of [2 * parent + 1, 2 * parent + 2])
        if (this.#at(child) < this.#at(smallest)) smallest = child;
      if (smallest === parent) return;
      this.#swap(parent, smallest);
      parent = smallest;
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return;
    this.#heap[a] = second;
    this.#heap[b] = first;
  }
}
