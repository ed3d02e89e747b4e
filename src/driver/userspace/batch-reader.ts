import type { IpAddress } from '../../wire/ip/address.js';
import type { Endpoint } from '../api.js';
import { addressOfWords } from './address-words.js';
import { indexStride, type NativeIo, type NativeReader, type readerKinds } from './native.js';

/**
 * What a reader tells; `packet` and the other look-ups are valid until `onPackets` returns. A count of 0: the kernel had no
 * room for some of the messages of a netlink socket, and threw them away.
 */
export interface BatchReaderEvents {
  onPackets(batch: BatchReader, count: number): void;
  /** The descriptor is of no use any more (`EBADFD`: the device was deleted). */
  onFailure(code: string): void;
  /** An ICMP error about a packet sent from the descriptor; `icmpError` has the addresses. */
  onIcmpError?(batch: BatchReader, type: number, code: number, info: number): void;
}

/** A descriptor being read, with the memory its packets arrive in. */
export class BatchReader {
  readonly #native: NativeIo;
  readonly #reader: NativeReader;
  readonly #memory: ArrayBuffer;
  readonly #index: Uint32Array;

  /** Takes over `fd`. */
  constructor(
    native: NativeIo,
    fd: number,
    kind: (typeof readerKinds)[keyof typeof readerKinds],
    events: BatchReaderEvents,
  ) {
    this.#native = native;
    this.#memory = new ArrayBuffer(native.slabBytes);
    this.#index = new Uint32Array(native.batchPackets * indexStride);
    this.#reader = native.startReader(
      fd,
      kind,
      new Uint8Array(this.#memory),
      this.#index,
      count => events.onPackets(this, count),
      code => events.onFailure(code),
      (type, code, info) => events.onIcmpError?.(this, type, code, info),
    );
  }

  /** The bytes of packet `i` of the batch. */
  packet(i: number): Uint8Array {
    const at = i * indexStride;
    return new Uint8Array(this.#memory, this.#index[at] ?? 0, this.#index[at + 1] ?? 0);
  }

  /** All packets of a batch. */
  packets(count: number): Uint8Array[] {
    const packets: Uint8Array[] = [];
    for (let i = 0; i < count; i++) packets.push(this.packet(i));
    return packets;
  }

  /** Where datagram `i` came from, and the address it came to. */
  ends(i: number, family: 4 | 6): { readonly peer: Endpoint; readonly localAddress: IpAddress } {
    const at = i * indexStride + 2;
    return {
      peer: { address: addressOfWords(this.#index, at, family), port: this.#index[at + 4] ?? 0 },
      localAddress: addressOfWords(this.#index, at + 5, family),
    };
  }

  /** What the packet was sent to that an ICMP error is about, who reports it, and what is quoted behind the IP header. */
  icmpError(family: 4 | 6): {
    readonly destination: Endpoint;
    readonly reporter: IpAddress;
    readonly quoted: Uint8Array;
  } {
    const { peer, localAddress } = this.ends(0, family);
    return { destination: peer, reporter: localAddress, quoted: this.packet(0) };
  }

  /** Time and device of watched packet `i`. */
  sighting(i: number): readonly [seconds: number, nanoseconds: number, deviceIndex: number, leaves: boolean] {
    const at = i * indexStride;
    const device = this.#index[at + 7] ?? 0;
    return [this.#index[at + 2] ?? 0, this.#index[at + 6] ?? 0, device >>> 1, (device & 1) === 1];
  }

  /** Packets that a watch has lost since the last call. */
  drops(): number {
    return this.#native.watchDrops(this.#reader);
  }

  close(): void {
    this.#native.stopReader(this.#reader);
  }
}
