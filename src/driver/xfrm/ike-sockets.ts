import { classifyEncapsulated, isKeepalive, nonEspMarkerBytes } from '../../wire/esp.js';
import { hostIsLittleEndian } from '../../wire/netlink/layout.js';
import { encodePolicyInfo } from '../../wire/netlink/xfrm-policy.js';
import { anySelector } from '../../wire/netlink/xfrm-selector.js';
import { espInUdp } from '../../wire/netlink/xfrm-structures.js';
import type { DriverEvent, IkeDatagram } from '../api.js';
import { KernelSockets } from '../userspace/sockets.js';
import { type NetlinkIo, netlinkIo } from './native.js';

const ikePort = 500;
const natTraversalPort = 4500;

/** `setsockopt` levels and options of Linux. */
const xfrmPolicy = { 4: { level: 0, option: 17 }, 6: { level: 41, option: 35 } } as const;
const udpLevel = 17;
const udpEncapsulation = 100;

/**
 * The UDP ports of IKE for a kernel that does IPsec: no policy looks at their packets, and of those on port 4500 the
 * kernel keeps ESP for itself.
 */
export class IkeSockets {
  readonly #sockets: KernelSockets;

  /** Throws `IpseckitError`: ENVIRONMENT when a port is taken, ACCESS_DENIED without the privilege. */
  constructor(emit: (event: DriverEvent) => void) {
    const native = netlinkIo();
    this.#sockets = new KernelSockets({
      ...{ mark: 0, ikePort, natTraversalPort, rawProtocols: {} },
      onFailure: error => emit({ kind: 'failed', error }),
      prepareUdp: (fd, port, family) => {
        exempt(native, fd, family);
        if (port === natTraversalPort) keepEsp(native, fd);
      },
    });
    this.#sockets.onDatagrams(datagrams => {
      for (const { local, peer, payload } of datagrams) {
        const plain = local.port === ikePort;
        if (!plain && classifyEncapsulated(payload) !== 'ike') continue;
        // A copy: the datagram's memory is used again.
        const bytes = Uint8Array.from(payload.subarray(plain ? 0 : nonEspMarkerBytes));
        emit({ kind: 'ike', datagram: { local, peer, bytes } });
      }
    });
    this.#sockets.onUndelivered(undelivered => emit({ kind: 'undelivered', ...undelivered }));
  }

  /** Sends an IKE message, with the non-ESP marker where the port wants one; returns whether it left. */
  send({ local, peer, bytes }: IkeDatagram): boolean {
    const plain = local.port === ikePort || isKeepalive(bytes);
    const payload = plain ? bytes : Buffer.concat([new Uint8Array(nonEspMarkerBytes), bytes]);
    return this.#sockets.sendDatagrams([{ local, peer, payload }]) === 0;
  }

  close(): void {
    this.#sockets.close();
  }
}

function exempt(native: NetlinkIo, fd: number, family: 4 | 6): void {
  const { level, option } = xfrmPolicy[family];
  for (const direction of ['in', 'out'] as const) {
    const policy = {
      selector: anySelector(family),
      direction,
      action: 'allow',
      priority: 0,
      templates: [],
    } as const;
    native.setSocketOption(fd, level, option, encodePolicyInfo(policy));
  }
}

function keepEsp(native: NetlinkIo, fd: number): void {
  const value = new DataView(new ArrayBuffer(4));
  value.setInt32(0, espInUdp, hostIsLittleEndian);
  native.setSocketOption(fd, udpLevel, udpEncapsulation, new Uint8Array(value.buffer));
}
