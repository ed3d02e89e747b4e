/** What an engine leaves in the kernel, known by our marks: for its end, and for the next, whichever that is. */
import { xfrmRequests } from '../../wire/netlink/xfrm.js';
import type { XfrmPolicy } from '../../wire/netlink/xfrm-policy.js';
import { deleteStates, ourStates } from './kernel-states.js';
import { putBackLarvalDrop } from './larval-drop.js';
import { isOurUser } from './marks.js';
import { XfrmSocket } from './netlink.js';
import { PolicyTable } from './policy-table.js';

/** All policies of ours, an earlier run's included. Throws `IpseckitError`. */
export function ourPolicies(socket: XfrmSocket): XfrmPolicy[] {
  return socket
    .demand(xfrmRequests.listPolicies(), 'to list its policies')
    .flatMap(message => (message.kind === 'policy' ? [message.policy] : []))
    .filter(({ selector }) => isOurUser(selector.user));
}

/** Removes all policies and states that are ours, those that `policies` knows of included. Throws `IpseckitError`. */
export function removeOurs(socket: XfrmSocket, policies: PolicyTable): void {
  policies.remove(ourPolicies(socket));
  deleteStates(
    socket,
    ourStates(socket).map(({ id }) => id),
  );
}

/** The same for an engine that does not use them, and settings put back. A kernel without XFRM has none; never throws. */
export function removeXfrmLeftovers(runtimeFolder: string | undefined): void {
  putBackLarvalDrop(runtimeFolder);
  let socket: XfrmSocket | undefined;
  try {
    socket = new XfrmSocket();
    removeOurs(socket, new PolicyTable(socket));
  } catch {
    // Nothing can be there.
  } finally {
    socket?.close();
  }
}
