/** Hears of what is deleted of our nftables table and of our policy routing, and by whom. */
import { WireError } from '../../wire/bytes.js';
import { decodeLayout, hostIsLittleEndian, u32 } from '../../wire/netlink/layout.js';
import { decodeAttributes, decodeNetlink, type ReceivedNetlink } from '../../wire/netlink/message.js';
import { steeringNames } from '../kernel-names.js';
import { netlinkIo } from '../xfrm/native.js';
import { BatchReader } from './batch-reader.js';
import { readerKinds } from './native.js';

/** What can be deleted of our steering. */
export type SteeringPart = 'table' | 'routing';

/** The netlink port, mostly the process id, of each who deleted something of it; a packet holds one or more messages. */
export type Removers = (packet: Uint8Array) => ReadonlySet<number>;

export interface RemovalEvents {
  onRemoved(port: number): void;
  /** More was changed than the kernel had room to tell: it may have been ours. */
  onOverflow(): void;
  /** Nothing is told any more; `code` is an errno. */
  onFailure(code: string): void;
}

/** `NETLINK_ROUTE`, and those of its groups that tell of routes and rules (`RTNLGRP_IPV4_ROUTE`, …). */
const routeProtocol = 0;
const routeGroups = [7, 8, 11, 19].reduce((mask, group) => mask | (1 << (group - 1)), 0);

/** `NFNL_SUBSYS_NFTABLES` with `NFT_MSG_DEL…` of a table, chain, rule, set, and elements of a set. */
const tableDeletions: readonly number[] = [2, 5, 8, 11, 14].map(message => (10 << 8) | message);
const nfnetlinkHeaderBytes = 4;
const tableNameAttribute = 1;

/** `RTM_DELROUTE`, `RTM_DELRULE`: `rtmsg` and `fib_rule_hdr` are as long, `RTA_TABLE` and `FRA_TABLE` the same number. */
const routingDeletions: readonly number[] = [25, 33];
const routingHeaderBytes = 12;
const tableNumberAttribute = 15;
const ourTables: readonly number[] = [
  steeringNames.secureRouteTable,
  steeringNames.fallbackRouteTable,
  steeringNames.assignedRouteTable,
];

/** Tells of deletions in this network namespace; who deleted it may be we ourselves. */
export class RemovalWatch {
  readonly #reader: BatchReader;

  constructor(part: SteeringPart, { onRemoved, onOverflow, onFailure }: RemovalEvents) {
    const native = netlinkIo();
    const removers = part === 'table' ? tableRemovers : routingRemovers;
    const fd = part === 'table' ? native.openNftablesWatch() : native.openNetlink(routeProtocol, routeGroups);
    this.#reader = new BatchReader(native, fd, readerKinds.raw, {
      onPackets: (batch, count) => {
        if (count === 0) onOverflow();
        for (const packet of batch.packets(count)) for (const port of removers(packet)) onRemoved(port);
      },
      onFailure,
    });
  }

  close(): void {
    this.#reader.close();
  }
}

/** Who deleted our nftables table, or something in it. */
export const tableRemovers: Removers = packet =>
  removersIn(packet, ({ type, payload }) => {
    if (!tableDeletions.includes(type)) return false;
    const name = decodeAttributes(payload, nfnetlinkHeaderBytes).find(
      attribute => attribute.type === tableNameAttribute,
    );
    return (
      name !== undefined && Buffer.from(name.value).toString().replace(/\0.*$/, '') === steeringNames.table
    );
  });

/** Who deleted a rule that leads to a table of ours, or a route in it. What the kernel does is no removal: it knows why. */
export const routingRemovers: Removers = packet =>
  removersIn(packet, ({ type, port, payload }) => {
    if (port === 0 || !routingDeletions.includes(type)) return false;
    const table = decodeAttributes(payload, routingHeaderBytes).find(
      attribute => attribute.type === tableNumberAttribute,
    );
    return (
      table !== undefined &&
      ourTables.includes(decodeLayout(u32, table.value, hostIsLittleEndian, 'routing table'))
    );
  });

function removersIn(packet: Uint8Array, isOurs: (message: ReceivedNetlink) => boolean): ReadonlySet<number> {
  const ports = new Set<number>();
  try {
    for (const message of decodeNetlink(packet)) if (isOurs(message)) ports.add(message.port);
  } catch (error) {
    if (!(error instanceof WireError)) throw error; // What cannot be read is none of what we look for.
  }
  return ports;
}
