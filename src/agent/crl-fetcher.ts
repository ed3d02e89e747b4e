/** Revocation lists from the distribution points of certificates, kept until their CA has promised newer ones. */
import { type Crl, parseCrl } from '../crypto/certificates/crl.js';
import { readCredentialFile } from '../crypto/certificates/read-files.js';
import type { FetchedCrl } from '../ike/api.js';
import { httpGet } from './http-get.js';

const limits = { timeoutMs: 5_000, maxBytes: 4 * 1024 * 1024 } as const;

/** How long an answer is used without asking again: none of the next update, or nothing usable came. */
const keepMs = { atMost: 24 * 3_600_000, withoutNextUpdate: 3_600_000, problem: 60_000 } as const;

/** Distribution points remembered; the oldest is forgotten. */
const maxRemembered = 64;

interface Remembered {
  readonly result: Promise<FetchedCrl>;
  untilMs: number;
}

export interface CrlFetcherDependencies {
  /** The calendar: lists say until when they hold. */
  nowMs(): number;
  /** The body of a URL; by default `httpGet`. */
  get?(url: string): Promise<Uint8Array>;
}

export class CrlFetcher {
  readonly #nowMs: () => number;
  readonly #get: (url: string) => Promise<Uint8Array>;
  readonly #remembered = new Map<string, Remembered>();

  constructor({ nowMs, get = url => httpGet(url, limits) }: CrlFetcherDependencies) {
    this.#nowMs = nowMs;
    this.#get = get;
  }

  /** A result for each URL, in their order; never rejects. Who asks while one is under way shares its answer. */
  fetch(urls: readonly string[]): Promise<readonly FetchedCrl[]> {
    return Promise.all(urls.map(url => this.#one(url)));
  }

  #one(url: string): Promise<FetchedCrl> {
    const known = this.#remembered.get(url);
    if (known !== undefined && this.#nowMs() < known.untilMs) return known.result;
    const result = this.#ask(url);
    const remembered = { result, untilMs: Number.POSITIVE_INFINITY };
    this.#remembered.delete(url);
    this.#remembered.set(url, remembered);
    const oldest = this.#remembered.keys().next();
    if (this.#remembered.size > maxRemembered && !oldest.done) this.#remembered.delete(oldest.value);
    void result.then(answer => {
      remembered.untilMs = this.#usableUntilMs(answer);
    });
    return result;
  }

  async #ask(url: string): Promise<FetchedCrl> {
    try {
      return { url, crl: readCrl(await this.#get(url)) };
    } catch (error) {
      return { url, problem: error instanceof Error ? error.message : String(error) };
    }
  }

  #usableUntilMs(answer: FetchedCrl): number {
    const nowMs = this.#nowMs();
    if ('problem' in answer) return nowMs + keepMs.problem;
    const { nextUpdateMs = nowMs + keepMs.withoutNextUpdate } = answer.crl;
    // One that is old already may be replaced any moment.
    return Math.max(Math.min(nextUpdateMs, nowMs + keepMs.atMost), nowMs + keepMs.problem);
  }
}

/** DER as RFC 5280 wants it, or PEM as some servers have it. */
function readCrl(bytes: Uint8Array): Crl {
  const derSequence = 0x30;
  if (bytes[0] === derSequence) return parseCrl(bytes);
  const text = Buffer.from(bytes).toString('latin1');
  const [crl] = text.includes('-----BEGIN') ? readCredentialFile(bytes).crls : [];
  if (crl === undefined) throw new Error('what came is no revocation list');
  return crl;
}
