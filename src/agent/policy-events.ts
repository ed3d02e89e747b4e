/** What the agent says about the policies it has in force, in the vocabulary of the Windows audit log. */

/** Ids and sentences of Windows (policy-semantics.md 8.2). */
export const policyEventSubjects = {
  5456: 'The directory IPsec policy is applied.',
  5457: 'The directory IPsec policy could not be applied.',
  5458: 'The cached copy of the directory IPsec policy is applied.',
  5459: 'The cached copy of the directory IPsec policy could not be applied.',
  5460: 'The local IPsec policy is applied.',
  5462: 'Some rules of the directory IPsec policy are left out.',
  5463: 'The directory was polled: no changes.',
  5464: 'The directory was polled: changes were found and applied.',
  5466: 'The directory was polled and cannot be reached: the cached copy is used instead.',
  5467: 'The directory can be reached again: no changes, the cached copy is no longer used.',
  5468: 'The directory can be reached again: changes were found and applied, the cached copy is no longer used.',
} as const;

export type PolicyEventId = keyof typeof policyEventSubjects;
export const policyEventIds = Object.keys(policyEventSubjects).map(Number);

/** One change of what is in force, or one look at the directory. */
export interface PolicyEvent {
  readonly atMs: number;
  readonly id: PolicyEventId;
  /** The policy's name; absent where none is in force. */
  readonly policy?: string;
  /** Its DN. */
  readonly path?: string;
  /** Why it could not be done, or what to know. */
  readonly reason?: string;
}

export function isPolicyEvent(event: { readonly id: number }): event is PolicyEvent {
  return Object.hasOwn(policyEventSubjects, event.id);
}

/** The event as the security log prints one. */
export function printPolicyEvent({ id, policy, path, reason }: PolicyEvent): string {
  const fields = { Policy: policy, Path: path, Reason: reason };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [`  ${name}: ${value}`],
  );
  return [`${id} ${policyEventSubjects[id]}`, ...lines].join('\n');
}
