import { inspect } from 'node:util';

/**
 * A value that must never be printed (a preshared key, key material). Every way of turning it into text gives
 * `(not shown)`; only `reveal` gives the value.
 */
export class Secret<T> {
  readonly #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  /** The value itself: for computing with it or writing it to a 0600 file, never for output. */
  reveal(): T {
    return this.#value;
  }

  toString(): string {
    return '(not shown)';
  }

  toJSON(): string {
    return '(not shown)';
  }

  [inspect.custom](): string {
    return '(not shown)';
  }
}
