/**
 * Puts our nftables table back when another program removes or replaces it. A firewall that is reloaded mostly throws away
 * everybody's tables; without ours, secured traffic would go in clear.
 */
import { IpseckitError } from '../../report/errors.js';
import { steeringNames } from '../kernel-names.js';
import { TableWatch, type TableWatchEvents } from './table-watch.js';

/** A table that cannot be put back is tried again after so long, for as long as it takes. */
const againMs = 1_000;

/** What puts the table back; says whether it had gone. */
export interface Restorable {
  restore(): Promise<boolean>;
}

export class TableGuard {
  readonly #steering: Restorable;
  readonly #fail: (error: Error) => void;
  readonly #watch: { close(): void };
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  /** `fail` is told of each time the table was put back, and of what kept us from it. `watch` is one for tests. */
  constructor(
    steering: Restorable,
    fail: (error: Error) => void,
    watch = (events: TableWatchEvents): { close(): void } => new TableWatch(events),
  ) {
    this.#steering = steering;
    this.#fail = fail;
    this.#watch = watch({
      onRemoved: ({ name, port }) => {
        if (name === steeringNames.table) this.#look(`another program (pid ${port})`);
      },
      onOverflow: () => this.#look('another program'),
      onFailure: code =>
        fail(
          new IpseckitError('ENVIRONMENT', `nobody watches the nftables table any more (${code})`, {
            next: 'start ipseckit again: should a firewall remove its table, secured traffic would leave in clear',
          }),
        ),
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#watch.close();
  }

  #look(who: string): void {
    this.#steering.restore().then(
      restored => {
        if (restored) this.#fail(tableRemoved(who));
      },
      (error: unknown) => {
        if (this.#closed) return;
        this.#fail(error instanceof Error ? error : new Error(String(error)));
        clearTimeout(this.#again);
        this.#again = setTimeout(() => this.#look(who), againMs);
      },
    );
  }
}

function tableRemoved(who: string): IpseckitError {
  return new IpseckitError('ENVIRONMENT', `${who} removed the nftables table ${steeringNames.table}`, {
    next: 'nothing: the filters are in force again; a firewall that is reloaded should not flush the whole ruleset',
  });
}
