/** Things to be done one after the other, whoever asks for them. */
export class Turns {
  #latest: Promise<unknown> = Promise.resolve();

  /** Does it when all that was asked for before is done, or has failed. */
  next<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#latest.then(action, action);
    this.#latest = result.catch(() => {});
    return result;
  }
}
