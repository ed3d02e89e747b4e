/**
 * Revocation lists that are not at hand: a certificate under a trusted CA says where its CA publishes them. The message
 * that has to be judged waits, untouched, until the surroundings have fetched them or given up.
 */
import type { CertificateVerdict, ChainSettings } from '../../crypto/certificates/chain.js';
import { type Crl, revocationOf } from '../../crypto/certificates/crl.js';
import type { IkeDatagram } from '../../driver/api.js';
import { toHex } from '../../wire/bytes.js';
import type { FetchedCrl } from '../api.js';
import type { Context } from '../context.js';
import type { MainMode } from '../main-mode.js';
import type { Timer } from '../timers.js';

/** Longest wait for the surroundings; then it goes on as if nothing could be fetched. */
const waitMs = 10_000;

/** Distribution points asked in one main mode. */
const maxUrls = 8;

/** What a main mode has fetched, by URL: a list, or why there is none. */
export interface FetchedRevocation {
  readonly crls: Crl[];
  readonly problems: Map<string, string>;
  /** Asked and not answered yet. */
  waiting: boolean;
}

export function nothingFetched(): FetchedRevocation {
  return { crls: [], problems: new Map(), waiting: false };
}

/** A message cannot be judged before these lists are here. Nothing has changed when it is thrown. */
export class CrlsWanted extends Error {
  readonly mainMode: MainMode;
  /** None: they have been asked for already. */
  readonly urls: readonly string[];

  constructor(mainMode: MainMode, urls: readonly string[]) {
    super('revocation lists are wanted');
    this.name = 'CrlsWanted';
    this.mainMode = mainMode;
    this.urls = urls;
  }
}

/**
 * Throws `CrlsWanted` when the peer's chain ends at a trusted CA and passes all else, but no list at hand speaks of a
 * certificate in it that names a distribution point. Only who has signed with that certificate makes us fetch anything.
 */
export function requireCrls(
  context: Context,
  mainMode: MainMode,
  verdict: CertificateVerdict,
  settings: ChainSettings,
): void {
  if (context.options.fetchCrls !== true) return;
  const { waiting, problems } = mainMode.revocation;
  if (waiting) throw new CrlsWanted(mainMode, []);
  const urls = wantedUrls(verdict, settings)
    .filter(url => !problems.has(url))
    .slice(0, Math.max(0, maxUrls - problems.size));
  if (urls.length > 0) throw new CrlsWanted(mainMode, urls);
}

function wantedUrls(
  { tests, chain }: CertificateVerdict,
  { crlStrength, crls, nowMs }: ChainSettings,
): string[] {
  if (crlStrength === 0) return [];
  // What is wrong for another reason is refused without asking anyone.
  if (tests.some(({ test, passed }) => !passed && test !== 'revocation')) return [];
  const unknown = chain.filter((certificate, i) => {
    const issuer = chain[i + 1];
    return issuer !== undefined && revocationOf(certificate, issuer, crls, nowMs).state === 'unknown';
  });
  const urls = unknown.flatMap(({ crlDistributionPoints }) => crlDistributionPoints);
  return [...new Set(urls)].filter(url => /^http:/i.test(url));
}

/** The messages that wait, by the id of what was asked. */
export class WaitingForCrls {
  readonly #context: Context;
  /** Takes a message that waits no longer. */
  readonly #resume: (datagram: IkeDatagram) => void;
  readonly #waiting = new Map<
    string,
    { mainMode: MainMode; urls: readonly string[]; datagram: IkeDatagram; timer: Timer }
  >();

  constructor(context: Context, resume: (datagram: IkeDatagram) => void) {
    this.#context = context;
    this.#resume = resume;
  }

  wait({ mainMode, urls }: CrlsWanted, datagram: IkeDatagram): void {
    if (urls.length === 0) return;
    const context = this.#context;
    const requestId = toHex(context.random(8));
    const timer = context.timers.schedule(context.nowMs + waitMs, () => this.fetched(requestId, []));
    mainMode.revocation.waiting = true;
    const kept = { ...datagram, bytes: Uint8Array.from(datagram.bytes) };
    this.#waiting.set(requestId, { mainMode, urls, datagram: kept, timer });
    context.progress(mainMode.peer, 'note', 'certificate', `fetching revocation lists: ${urls.join(', ')}`);
    context.emit({ kind: 'fetchCrls', requestId, urls });
  }

  /** What became of it. Unknown ids are late answers: nobody waits for them any more. */
  fetched(requestId: string, results: readonly FetchedCrl[]): void {
    const waiting = this.#waiting.get(requestId);
    if (waiting === undefined) return;
    this.#waiting.delete(requestId);
    this.#context.timers.cancel(waiting.timer);
    const { revocation } = waiting.mainMode;
    revocation.waiting = false;
    for (const url of waiting.urls) {
      const result = results.find(candidate => candidate.url === url);
      if (result !== undefined && 'crl' in result) revocation.crls.push(result.crl);
      revocation.problems.set(
        url,
        result === undefined
          ? 'no answer in time'
          : 'crl' in result
            ? 'its list does not help'
            : result.problem,
      );
    }
    this.#resume(waiting.datagram);
  }
}
