import type { Secret } from '../../crypto/secret.js';
import type { IpAddress } from '../../wire/ip/address.js';
import type { PolicyNote } from '../note.js';

/** For which computer a configuration is written, and whether keys go into it. */
export interface ExportOptions {
  /** The computer's own addresses: they tell which side of a filter it is. */
  readonly localAddresses: readonly IpAddress[];
  /** Without keys a placeholder stands for each. */
  readonly keys: 'shown' | 'masked';
}

/** One file of a configuration. */
export interface ExportedFile {
  /** What the daemon calls it: `swanctl.conf`. */
  readonly name: string;
  /** What is put behind the name a user chooses for the main file; empty for that itself. */
  readonly suffix: string;
  readonly text: string;
  /** Whether there are keys, or places for keys, in it. */
  readonly secret: boolean;
}

export interface Exported {
  /** The first is the main one. */
  readonly files: readonly ExportedFile[];
  readonly notes: readonly PolicyNote[];
}

/** The key's bytes as a daemon takes them, or `undefined` where a placeholder is to stand. */
export function keyBytes(key: Secret<string>, { keys }: ExportOptions): Buffer | undefined {
  return keys === 'shown' ? Buffer.from(key.reveal(), 'utf8') : undefined;
}

export const keyPlaceholder = 'put the preshared key here';

/** Names for sections of a configuration: letters, digits and hyphens, each once. */
export class SectionNames {
  readonly #taken = new Set<string>();
  /** The last number behind each name: there may be as many of one as a rule has filters. */
  readonly #last = new Map<string, number>();

  unique(text: string): string {
    const base = text.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'rule';
    const key = base.toLowerCase();
    let number = this.#last.get(key) ?? 1;
    let name = number === 1 ? base : `${base}-${++number}`;
    while (this.#taken.has(name.toLowerCase())) name = `${base}-${++number}`;
    this.#last.set(key, number);
    this.#taken.add(name.toLowerCase());
    return name;
  }
}

/** Text for a comment: one line, nothing that ends or continues it. */
export function commentText(text: string): string {
  return text.replace(/[\p{Cc}\\]/gu, ' ');
}
