/** Events of the kernel as events of the driver. */

import type { XfrmAcquire } from '../../wire/netlink/xfrm.js';
import type { XfrmStateReport } from '../../wire/netlink/xfrm-state.js';
import type { DriverEvent, DriverFilter } from '../api.js';
import { packetSelector } from './selectors.js';

/** The kernel wants a state for a packet that met a filter. */
export function acquireEvent(acquire: XfrmAcquire, filter: DriverFilter): DriverEvent & { kind: 'acquire' } {
  return {
    kind: 'acquire',
    filterId: filter.id,
    local: acquire.source,
    peer: acquire.destination,
    packet: packetSelector(acquire.packet),
  };
}

/** Which of its limits a state has reached: volume where that is so, else time. */
export function expiryCause(state: XfrmStateReport, hard: boolean): 'seconds' | 'kilobytes' | 'sequence' {
  const { limits, usage } = state;
  if (usage.bytes >= (hard ? limits.hardBytes : limits.softBytes)) return 'kilobytes';
  if (usage.packets >= (hard ? limits.hardPackets : limits.softPackets)) return 'sequence';
  return 'seconds';
}
