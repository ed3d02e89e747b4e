import { BatchReader } from './batch-reader.js';
import { nativeIo, readerKinds } from './native.js';

/** Netlink message types are `subsystem << 8 | message`: NFNL_SUBSYS_NFTABLES 10, NFT_MSG_DELTABLE 2. */
const deleteTableMessage = (10 << 8) | 2;
const netlinkHeaderBytes = 16;
const nfnetlinkHeaderBytes = 4;
const attributeHeaderBytes = 4;
const tableNameAttribute = 1;
const attributeTypeMask = 0x3fff;

/** The removal of an nftables table, and the netlink port (mostly the process id) of who asked for it. */
export interface RemovedTable {
  readonly name: string;
  readonly port: number;
}

export interface TableWatchEvents {
  onRemoved(table: RemovedTable): void;
  /** More was changed than the kernel had room to tell: any table may have been removed. */
  onOverflow(): void;
  /** Nothing is told any more; `code` is an errno. */
  onFailure(code: string): void;
}

/** Tells when nftables tables of this network namespace are removed: `nft flush ruleset` takes ours along. */
export class TableWatch {
  readonly #reader: BatchReader;

  constructor({ onRemoved, onOverflow, onFailure }: TableWatchEvents) {
    const native = nativeIo();
    this.#reader = new BatchReader(native, native.openNftablesWatch(), readerKinds.raw, {
      onPackets: (batch, count) => {
        if (count === 0) onOverflow();
        for (const packet of batch.packets(count))
          for (const table of removedTables(packet)) onRemoved(table);
      },
      onFailure,
    });
  }

  close(): void {
    this.#reader.close();
  }
}

/** The removals among the netlink messages of one packet, which are in this machine's byte order. */
export function removedTables(packet: Uint8Array): RemovedTable[] {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const removed: RemovedTable[] = [];
  for (let at = 0; at + netlinkHeaderBytes <= packet.length; ) {
    const length = view.getUint32(at, littleEndian);
    if (length < netlinkHeaderBytes || at + length > packet.length) break;
    const type = view.getUint16(at + 4, littleEndian);
    const port = view.getUint32(at + 12, littleEndian);
    const attributes = packet.subarray(at + netlinkHeaderBytes + nfnetlinkHeaderBytes, at + length);
    const name = type === deleteTableMessage ? tableNameOf(attributes) : undefined;
    if (name !== undefined) removed.push({ name, port });
    at += aligned(length);
  }
  return removed;
}

function tableNameOf(attributes: Uint8Array): string | undefined {
  const view = new DataView(attributes.buffer, attributes.byteOffset, attributes.byteLength);
  for (let at = 0; at + attributeHeaderBytes <= attributes.length; ) {
    const length = view.getUint16(at, littleEndian);
    if (length < attributeHeaderBytes || at + length > attributes.length) return undefined;
    if ((view.getUint16(at + 2, littleEndian) & attributeTypeMask) === tableNameAttribute) {
      const text = attributes.subarray(at + attributeHeaderBytes, at + length);
      return Buffer.from(text).toString('utf8').replace(/\0.*$/, '');
    }
    at += aligned(length);
  }
  return undefined;
}

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function aligned(length: number): number {
  return (length + 3) & ~3;
}
