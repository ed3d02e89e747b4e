/**
 * Puts back what another program deletes of our steering. A firewall that is reloaded mostly throws away everybody's tables, a
 * network manager that is restarted everybody's routing rules; without ours, secured traffic would go in clear or nowhere.
 */
import { IpseckitError } from '../../report/errors.js';
import { steeringNames } from '../kernel-names.js';
import { type RemovalEvents, RemovalWatch, type SteeringPart } from './removal-watch.js';

/** What cannot be put back is tried again after so long, for as long as it takes. */
const againMs = 1_000;

/** What puts it back; says whether something was missing. */
export type Restore = () => Promise<boolean>;

const parts: Readonly<
  Record<SteeringPart, { readonly name: string; readonly risk: string; readonly advice: string }>
> = {
  table: {
    name: `the nftables table ${steeringNames.table}, or a part of it`,
    risk: 'should a firewall remove its table, secured traffic would leave in clear',
    advice: 'the filters are in force again; a firewall that is reloaded should not flush the whole ruleset',
  },
  routing: {
    name: `routing rules or routes of ${steeringNames.table}`,
    risk: 'should its routing rules be removed, secured traffic would stop',
    advice:
      'they are there again; systemd-networkd leaves them alone with ManageForeignRoutingPolicyRules=no and ManageForeignRoutes=no',
  },
};

/** Looks after one part of the steering. */
export class SteeringGuard {
  readonly #part: SteeringPart;
  readonly #restore: Restore;
  readonly #fail: (error: Error) => void;
  readonly #watch: { close(): void };
  #looking = false;
  /** Who deleted something while we were looking. */
  #next: string | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  /** `fail` is told of each time something was put back, and of what kept us from it. `watch` is one for tests. */
  constructor(
    part: SteeringPart,
    restore: Restore,
    fail: (error: Error) => void,
    watch = (events: RemovalEvents): { close(): void } => new RemovalWatch(part, events),
  ) {
    this.#part = part;
    this.#restore = restore;
    this.#fail = fail;
    this.#watch = watch({
      onRemoved: port => this.#look(`another program (pid ${port})`),
      onOverflow: () => this.#look('another program'),
      onFailure: code =>
        fail(
          new IpseckitError('ENVIRONMENT', `nobody watches ${parts[part].name} any more (${code})`, {
            next: `start ipseckit again: ${parts[part].risk}`,
          }),
        ),
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#again);
    this.#watch.close();
  }

  /** One look at a time: what is deleted meanwhile, and that may be thousands of rules, needs one more. */
  #look(who: string): void {
    if (this.#looking) {
      this.#next ??= who;
      return;
    }
    this.#looking = true;
    this.#restore()
      .then(
        restored => {
          if (restored) this.#fail(removed(this.#part, who));
        },
        (error: unknown) => {
          if (this.#closed) return;
          this.#fail(error instanceof Error ? error : new Error(String(error)));
          clearTimeout(this.#again);
          this.#again = setTimeout(() => this.#look(who), againMs);
        },
      )
      .finally(() => {
        this.#looking = false;
        const next = this.#next;
        this.#next = undefined;
        if (next !== undefined && !this.#closed) this.#look(next);
      });
  }
}

function removed(part: SteeringPart, who: string): IpseckitError {
  const { name, advice } = parts[part];
  return new IpseckitError('ENVIRONMENT', `${who} removed ${name}`, { next: `nothing: ${advice}` });
}
