/** Proposals and lifetimes in the words the other daemons share, and what they take as the group of PFS. */
import { dhGroups, type GroupId, group } from '../../crypto/algorithms.js';
import type { KeyExchangeSettings, SecurityMethod } from '../model.js';
import { policyDefaults } from '../model.js';
import type { NoteBook } from '../note.js';

/** The group of a method's PFS; that of main mode where the method names none. */
export function pfsGroup(
  { pfs }: SecurityMethod,
  { methods }: KeyExchangeSettings,
  book: NoteBook,
): GroupId | undefined {
  if (pfs === undefined) return undefined;
  const mainMode = methods[0]?.group;
  if (pfs.group === undefined && new Set(methods.map(({ group }) => group)).size > 1)
    book.add('changed', `PFS uses group ${mainMode}, whichever group main mode has`);
  return pfs.group ?? mainMode;
}

export function groupName(id: GroupId): string {
  return group(id).name;
}

export function isModp(id: GroupId): boolean {
  return dhGroups[id].kind === 'modp';
}

export interface Lifetime {
  readonly seconds: number;
  readonly bytes: number;
}

/** One lifetime for all methods of a child: that of the first. */
export function lifetimeOf(methods: readonly SecurityMethod[], book: NoteBook): Lifetime {
  const lifetimes = methods.map(({ lifetimeSeconds, lifetimeKilobytes }) => ({
    seconds: lifetimeSeconds ?? policyDefaults.quickModeLifetimeSeconds,
    bytes: 1024 * (lifetimeKilobytes ?? policyDefaults.quickModeLifetimeKilobytes),
  }));
  const [first = { seconds: policyDefaults.quickModeLifetimeSeconds, bytes: 0 }] = lifetimes;
  if (lifetimes.some(({ seconds, bytes }) => seconds !== first.seconds || bytes !== first.bytes))
    book.add('changed', `all its security methods have the lifetime of the first, ${first.seconds} seconds`);
  return first;
}

/** Says that a daemon's methods have sequence numbers of 32 bits all the same. */
export function noteExtendedSequence(
  methods: readonly SecurityMethod[],
  daemon: string,
  book: NoteBook,
): void {
  if (methods.some(({ extendedSequence }) => extendedSequence))
    book.add('dropped', `extended sequence numbers: ${daemon} has none in IKEv1`);
}

/** Says that a daemon's SAs end by time alone, where a method wants them to end by bytes, too. */
export function noteKilobytes(methods: readonly SecurityMethod[], daemon: string, book: NoteBook): void {
  if (methods.some(({ lifetimeKilobytes }) => lifetimeKilobytes !== undefined))
    book.add('dropped', `lifetimes in kilobytes: ${daemon} ends SAs by time alone`);
}

/** When to begin replacing what lives so long. */
export function rekeyAt(limit: number): number {
  return Math.max(1, Math.floor(limit * 0.9));
}

/** The ESP methods or the AH methods, whichever the first is: a connection of other daemons has one protocol. */
export function oneProtocol(
  methods: readonly SecurityMethod[],
  book: NoteBook,
): { readonly protocol: 'esp' | 'ah'; readonly methods: readonly SecurityMethod[] } {
  const protocol = methods[0]?.esp === undefined ? 'ah' : 'esp';
  const kept = methods.filter(method => method[protocol] !== undefined);
  if (kept.length < methods.length)
    book.add('dropped', `its ${protocol === 'esp' ? 'AH' : 'ESP'} methods: a connection has one protocol`);
  return { protocol, methods: kept };
}
