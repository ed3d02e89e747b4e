import { type XfrmRequest, xfrmRequests } from '../../wire/netlink/xfrm.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import type { XfrmSelector } from '../../wire/netlink/xfrm-selector.js';
import { errno, refused, type XfrmSocket } from './netlink.js';

/** The policies that are ours in the kernel. Only differences are sent. */
export class PolicyTable {
  readonly #socket: Pick<XfrmSocket, 'ask'>;
  readonly #installed = new Map<string, XfrmPolicy>();

  constructor(socket: Pick<XfrmSocket, 'ask'>) {
    this.#socket = socket;
  }

  /** Takes over policies that are in the kernel already: they stay until they are replaced. */
  adopt(policies: readonly XfrmPolicy[]): void {
    for (const policy of policies) this.#installed.set(policyKey(policy), policy);
  }

  /** Replaces all policies. Throws `IpseckitError` when the kernel refuses some. */
  replace(policies: readonly XfrmPolicy[]): void {
    const wanted = new Map(policies.map(policy => [policyKey(policy), policy]));
    const { changes, removals } = policyChanges(this.#installed, wanted);
    this.#send(changes.map(policy => ({ policy, request: xfrmRequests.putPolicy(policy) })));
    for (const policy of changes) this.#installed.set(policyKey(policy), policy);
    this.remove(removals);
  }

  /** Adds policies, or puts them in the place of those of the same traffic, even where nothing changed. */
  put(policies: readonly XfrmPolicy[]): void {
    this.#send(policies.map(policy => ({ policy, request: xfrmRequests.putPolicy(policy) })));
    for (const policy of policies) this.#installed.set(policyKey(policy), policy);
  }

  /** Removes policies; one that is not there is no error. */
  remove(policies: readonly Pick<XfrmPolicy, 'selector' | 'direction'>[]): void {
    this.#send(policies.map(policy => ({ policy, request: xfrmRequests.deletePolicy(policy) })));
    for (const policy of policies) this.#installed.delete(policyKey(policy));
  }

  /** The policy that asks for a state of this request id. */
  wanting(requestId: number): XfrmPolicy | undefined {
    for (const policy of this.#installed.values())
      if (policy.direction === 'out' && policy.templates.some(template => template.requestId === requestId))
        return policy;
    return undefined;
  }

  all(): Iterable<XfrmPolicy> {
    return this.#installed.values();
  }

  #send(
    items: readonly {
      readonly policy: Pick<XfrmPolicy, 'selector' | 'direction'>;
      readonly request: XfrmRequest;
    }[],
  ): void {
    this.#socket.ask(items.map(({ request }) => request)).forEach((answer, index) => {
      if (answer.errno === 0 || answer.errno === errno.noEntry) return;
      const policy = items[index]?.policy;
      throw refused(policy === undefined ? 'a policy' : `the policy ${policyKey(policy)}`, answer.errno);
    });
  }
}

/**
 * What makes `installed` the `wanted` policies, in an order that keeps that of the policies which stay: those that move
 * back go first, the last of them ahead; then those that move forward and new ones, the first ahead. At no time does a
 * policy decide in front of one that comes before it in both lists.
 */
export function policyChanges(
  installed: ReadonlyMap<string, XfrmPolicy>,
  wanted: ReadonlyMap<string, XfrmPolicy>,
): { readonly changes: readonly XfrmPolicy[]; readonly removals: readonly XfrmPolicy[] } {
  const back: XfrmPolicy[] = [];
  const forward: XfrmPolicy[] = [];
  for (const [key, policy] of wanted) {
    const before = installed.get(key);
    if (before !== undefined && samePolicy(before, policy)) continue;
    if (before !== undefined && policy.priority > before.priority) back.push(policy);
    else forward.push(policy);
  }
  const byPriority = (a: XfrmPolicy, b: XfrmPolicy) => a.priority - b.priority;
  back.sort(byPriority).reverse();
  forward.sort(byPriority);
  const removals = [...installed].filter(([key]) => !wanted.has(key)).map(([, policy]) => policy);
  return { changes: [...back, ...forward], removals };
}

/** What the kernel tells policies apart by. */
export function policyKey({ selector, direction }: Pick<XfrmPolicy, 'selector' | 'direction'>): string {
  return `${direction} ${printXfrmSelector(selector)} user ${selector.user.toString(16)}`;
}

function printXfrmSelector(selector: XfrmSelector): string {
  const { source, destination, protocol, sourcePort, destinationPort, interfaceIndex } = selector;
  const device = interfaceIndex === undefined ? '' : ` interface ${interfaceIndex}`;
  const ports = `${sourcePort ?? 'any'}/${destinationPort ?? 'any'}`;
  return `${source.address}/${source.length} -> ${destination.address}/${destination.length} proto ${protocol} ports ${ports}${device}`;
}

function samePolicy(a: XfrmPolicy, b: XfrmPolicy): boolean {
  return (
    a.priority === b.priority &&
    a.action === b.action &&
    a.icmpErrors === b.icmpErrors &&
    a.templates.length === b.templates.length &&
    a.templates.every((one, index) => {
      const other = b.templates[index];
      return (
        other !== undefined &&
        one.protocol === other.protocol &&
        one.mode === other.mode &&
        one.source === other.source &&
        one.destination === other.destination &&
        one.requestId === other.requestId &&
        one.optional === other.optional
      );
    })
  );
}
