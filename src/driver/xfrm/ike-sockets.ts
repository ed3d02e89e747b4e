import { classifyEncapsulated, isKeepalive, nonEspMarkerBytes } from '../../wire/esp.js';
import { hostIsLittleEndian } from '../../wire/netlink/layout.js';
import { espInUdp } from '../../wire/netlink/xfrm-structures.js';
import type { DriverEvent, IkeDatagram } from '../api.js';
import { ikePort, natTraversalPort } from '../ike-ports.js';
import { KernelSockets } from '../userspace/sockets.js';
import { IkeErrors } from './ike-errors.js';
import { exemptFromPolicies, type NetlinkIo, netlinkIo } from './native.js';

/** `setsockopt` level and option of Linux. */
const udpLevel = 17;
const udpEncapsulation = 100;

/**
 * The UDP ports of IKE for a kernel that does IPsec: no policy looks at their packets, and of those on port 4500 the
 * kernel keeps ESP for itself.
 */
export class IkeSockets {
  readonly #sockets: KernelSockets;
  readonly #errors: IkeErrors;

  /** Throws `IpseckitError`: ENVIRONMENT when a port is taken, ACCESS_DENIED without the privilege. */
  constructor(emit: (event: DriverEvent) => void) {
    const native = netlinkIo();
    const fail = (error: Error) => emit({ kind: 'failed', error });
    this.#sockets = new KernelSockets({
      ...{ mark: 0, ikePort, natTraversalPort, rawProtocols: {} },
      onFailure: fail,
      prepareUdp: (fd, port, family) => {
        exemptFromPolicies(native, fd, family);
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
    // Not those that the UDP sockets tell of: these are a part of them.
    try {
      this.#errors = new IkeErrors(
        native,
        undelivered => emit({ kind: 'undelivered', ...undelivered }),
        fail,
      );
    } catch (error) {
      this.#sockets.close();
      throw error;
    }
  }

  /** Sends an IKE message, with the non-ESP marker where the port wants one; returns whether it left. */
  send({ local, peer, bytes }: IkeDatagram): boolean {
    const plain = local.port === ikePort || isKeepalive(bytes);
    const payload = plain ? bytes : Buffer.concat([new Uint8Array(nonEspMarkerBytes), bytes]);
    return this.#sockets.sendDatagrams([{ local, peer, payload }]) === 0;
  }

  close(): void {
    this.#errors.close();
    this.#sockets.close();
  }
}

function keepEsp(native: NetlinkIo, fd: number): void {
  const value = new DataView(new ArrayBuffer(4));
  value.setInt32(0, espInUdp, hostIsLittleEndian);
  native.setSocketOption(fd, udpLevel, udpEncapsulation, new Uint8Array(value.buffer));
}
