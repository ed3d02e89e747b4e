/** The pairs that are wanted and not there yet, and how far each has come. */
import type { PairId } from '../driver/api.js';
import { printSelector } from '../wire/ip/selector.js';
import type { AcquireRequest } from './api.js';
import type { MainMode } from './main-mode.js';
import { isAt, type PeerPlace } from './peer-place.js';
import type { QuickMode } from './quick-mode.js';

/** Traffic that wants a pair with a peer. */
export type PairRequest = Omit<AcquireRequest, 'id'> & PeerPlace;

/** One pair wanted. Further requests for the same join it. */
export interface Wanted {
  readonly key: string;
  readonly requestIds: Set<string>;
  readonly request: PairRequest;
  /** The pair it is to replace. */
  replaces?: PairId;
  /** The main mode being waited for. */
  mainMode?: MainMode;
  quickMode?: QuickMode;
  /** It has already been started again under a new main mode. */
  restarted: boolean;
}

export class WantedBook {
  readonly #byKey = new Map<string, Wanted>();

  get size(): number {
    return this.#byKey.size;
  }

  /** What is wanted by a request, noted if it is new. */
  want(request: PairRequest): Wanted {
    const key = keyOf(request);
    const known = this.#byKey.get(key);
    if (known) return known;
    const wanted: Wanted = { key, request, requestIds: new Set(), restarted: false };
    this.#byKey.set(key, wanted);
    return wanted;
  }

  delete(wanted: Wanted): void {
    this.#byKey.delete(wanted.key);
  }

  /** All as they are now: they may be deleted while going through. */
  all(): Wanted[] {
    return [...this.#byKey.values()];
  }

  for(request: PairRequest): Wanted | undefined {
    return this.#byKey.get(keyOf(request));
  }

  by(quickMode: QuickMode): Wanted | undefined {
    return this.all().find(wanted => wanted.quickMode === quickMode);
  }

  /** What a main mode can get: of its two hosts, and of its client where there are several behind the peer's NAT. */
  under(mainMode: MainMode): Wanted[] {
    return this.all().filter(
      ({ request: { local, peer, peerPort } }) =>
        local === mainMode.local && peer === mainMode.peer && isAt(mainMode, peerPort),
    );
  }
}

function keyOf({ local, peer, peerPort = 0, quickMode }: PairRequest): string {
  return `${local} ${peer} ${peerPort} ${quickMode.mode} ${printSelector(quickMode.selector)}`;
}
