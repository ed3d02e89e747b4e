/** Cuts a byte stream into lines; a line over `limitBytes` is reported once through `onTooLong` and ends it. */
export class LineSplitter {
  readonly #limitBytes: number;
  readonly #onLine: (line: string) => void;
  readonly #onTooLong: () => void;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #dead = false;

  constructor(limitBytes: number, onLine: (line: string) => void, onTooLong: () => void) {
    this.#limitBytes = limitBytes;
    this.#onLine = onLine;
    this.#onTooLong = onTooLong;
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    while (!this.#dead) {
      const end = rest.indexOf(0x0a);
      const part = end < 0 ? rest : rest.subarray(0, end);
      this.#pendingBytes += part.length;
      if (this.#pendingBytes > this.#limitBytes) {
        this.#dead = true;
        this.#pending = [];
        return this.#onTooLong();
      }
      this.#pending.push(part);
      if (end < 0) return;
      const line = Buffer.concat(this.#pending).toString('utf8');
      this.#pending = [];
      this.#pendingBytes = 0;
      if (line.trim() !== '') this.#onLine(line);
      rest = rest.subarray(end + 1);
    }
  }
}
