/**
 * What peers and routers say by ICMP of our IKE messages. The kernel tells a UDP socket of such an error only when its policies
 * let it in, and where a filter secures everything between two hosts they do not. Raw sockets that policies do not look at
 * hear it all the same: nobody but us sees what they hear, and of that we take what quotes our own IKE ports.
 */
import { IpseckitError } from '../../report/errors.js';
import { addressFamily } from '../../wire/ip/address.js';
import { quotedFlow, readUndelivered } from '../../wire/ip/icmp-errors.js';
import { addressOf, decodeIp, orUndefined, upperStart } from '../../wire/ip/ip.js';
import { ipProtocol } from '../../wire/ip/packet.js';
import { hostIsLittleEndian } from '../../wire/netlink/layout.js';
import { ikePort, natTraversalPort } from '../ike-ports.js';
import { BatchReader } from '../userspace/batch-reader.js';
import type { UndeliveredDatagram } from '../userspace/io.js';
import { readerKinds } from '../userspace/native.js';
import { hasIpv6 } from '../userspace/sockets.js';
import { exemptFromPolicies, type NetlinkIo } from './native.js';

/** The types heard: destination unreachable, time exceeded. `setsockopt` takes a bit for each that is not. */
const families = {
  4: {
    protocol: ipProtocol.icmp,
    types: [3, 11],
    level: 255,
    option: 1,
    filterWords: 1,
    kind: readerKinds.raw,
  },
  6: {
    protocol: ipProtocol.icmpv6,
    types: [1, 3],
    level: 58,
    option: 1,
    filterWords: 8,
    kind: readerKinds.raw6,
  },
} as const;

/** Listens for them. */
export class IkeErrors {
  readonly #readers: BatchReader[] = [];

  /** Throws an `Error` with `code` (`EPERM`) where a socket cannot be opened. */
  constructor(
    native: NetlinkIo,
    onUndelivered: (undelivered: UndeliveredDatagram) => void,
    onFailure: (error: Error) => void,
  ) {
    for (const family of hasIpv6() ? ([4, 6] as const) : ([4] as const)) {
      const fd = openSocket(native, family);
      this.#readers.push(
        new BatchReader(native, fd, families[family].kind, {
          onPackets: (batch, count) => {
            for (const packet of batch.packets(count)) {
              const undelivered = undeliveredIke(packet);
              if (undelivered !== undefined) onUndelivered(undelivered);
            }
          },
          onFailure: code => onFailure(lost(code)),
        }),
      );
    }
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }
}

/** What an IP packet says of an IKE message of ours; `undefined` when it is about something else. */
export function undeliveredIke(packet: Uint8Array): UndeliveredDatagram | undefined {
  const header = orUndefined(() => decodeIp(packet));
  const quoted = header && quotedFlow(packet, header);
  if (header === undefined || quoted === undefined) return undefined;
  const { protocol, source, sourcePort, destination, destinationPort, laterFragment } = quoted;
  const isOurs =
    source === addressOf(header.destination) && (sourcePort === ikePort || sourcePort === natTraversalPort);
  if (!isOurs || protocol !== ipProtocol.udp || laterFragment) return undefined;
  const at = upperStart(header);
  const [type = 0, code = 0] = packet.subarray(at, at + 2);
  const reason = readUndelivered({ family: addressFamily(source), type, code });
  if (reason === undefined) return undefined;
  const peer = { address: destination, port: destinationPort };
  return { peer, reporter: addressOf(header.source), reason };
}

function openSocket(native: NetlinkIo, family: 4 | 6): number {
  const { protocol, types, level, option, filterWords } = families[family];
  const fd = native.openRawReceiver(family, protocol, 0);
  try {
    exemptFromPolicies(native, fd, family);
    const unheard = new DataView(new ArrayBuffer(filterWords * 4));
    for (let word = 0; word < filterWords; word++)
      unheard.setUint32(word * 4, 0xffff_ffff, hostIsLittleEndian);
    const heard = types.reduce((mask: number, type) => mask | (1 << type), 0);
    unheard.setUint32(0, ~heard >>> 0, hostIsLittleEndian);
    native.setSocketOption(fd, level, option, new Uint8Array(unheard.buffer));
    return fd;
  } catch (error) {
    native.closeFd(fd);
    throw error;
  }
}

function lost(code: string): IpseckitError {
  return new IpseckitError('ENVIRONMENT', `the ICMP socket failed while in use (${code})`, {
    next: 'start ipseckit again',
  });
}
