import { IpseckitError } from '../../report/errors.js';
import { kernelLacks } from './kernel-states.js';
import { XfrmSocket } from './netlink.js';

/** Why the kernel of this host cannot be the engine; `undefined` when it takes an ESP SA. Leaves nothing behind. */
export function probeKernel(): IpseckitError | undefined {
  let socket: XfrmSocket | undefined;
  try {
    socket = new XfrmSocket();
    return kernelLacks(socket);
  } catch (error) {
    if (error instanceof IpseckitError) return error;
    throw error;
  } finally {
    socket?.close();
  }
}
