/** Allows so many events a second, counted in whole seconds. Its fresh value is ready for use. */
export class RateLimit {
  #second = 0;
  #count = 0;

  allow(nowMs: number, perSecond: number): boolean {
    const second = Math.floor(nowMs / 1_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#count = 0;
    }
    return ++this.#count <= perSecond;
  }
}
