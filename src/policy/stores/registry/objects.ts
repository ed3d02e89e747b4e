/** The objects of a Windows policy store, the same in the registry and in a directory (`policy-store.md` 1, 2). */
import { parseGuid } from '../../guid.js';
import type { Guid } from '../../model.js';
import type { StoreFormatError } from '../format-error.js';

export const objectClasses = [
  'ipsecPolicy',
  'ipsecISAKMPPolicy',
  'ipsecNFA',
  'ipsecNegotiationPolicy',
  'ipsecFilter',
] as const;

export type ObjectClass = (typeof objectClasses)[number];

/** Which object: what stands behind the last backslash of its key, or in the first part of its DN. */
export interface ObjectName {
  readonly class: ObjectClass;
  readonly id: Guid;
}

/** The attributes that point to other objects. */
export const referenceAttributes = {
  ipsecNFAReference: { to: 'ipsecNFA', many: true },
  ipsecISAKMPReference: { to: 'ipsecISAKMPPolicy', many: false },
  ipsecNegotiationPolicyReference: { to: 'ipsecNegotiationPolicy', many: false },
  ipsecFilterReference: { to: 'ipsecFilter', many: true },
} as const satisfies Record<string, { to: ObjectClass; many: boolean }>;

export type ReferenceAttribute = keyof typeof referenceAttributes;
export const referenceNames = Object.keys(referenceAttributes) as ReferenceAttribute[];

export interface StoredObject extends ObjectName {
  /** Its key or DN, for messages. */
  readonly where: string;
  /** `ipsecName`. */
  readonly name?: string;
  readonly description?: string;
  readonly data?: Uint8Array;
  readonly references: Readonly<Partial<Record<ReferenceAttribute, readonly ObjectName[]>>>;
  /** `ipsecOwnersReference`: may be missing or stale. */
  readonly owners: readonly ObjectName[];
  /** `ipsecNegotiationPolicyAction` and `…Type`, upper case. */
  readonly action?: Guid;
  readonly actionType?: Guid;
  /** `whenChanged`. */
  readonly changedAtSeconds?: number;
  /** What of it cannot be read; the rest of it is not to be used. */
  readonly damage?: StoreFormatError;
}

/** A whole store as objects. */
export interface ObjectGraph {
  readonly objects: readonly StoredObject[];
  /** The assigned policy. */
  readonly active?: ObjectName;
}

/** `ipsecNFA{GUID}`. */
export function objectKey(name: ObjectName): string {
  return `${name.class}${name.id}`;
}

/** The object that a key path or a DN names, in any case; `undefined` for any other text. */
export function parseObjectName(text: string): ObjectName | undefined {
  const match = /(?:^|[\\=])(ipsec[a-z]+)(\{[\da-f-]{36}\})(?:$|,)/i.exec(text);
  const [, word = '', guid = ''] = match ?? [];
  const found = objectClasses.find(each => each.toLowerCase() === word.toLowerCase());
  const id = parseGuid(guid);
  return found === undefined || id === undefined ? undefined : { class: found, id };
}
