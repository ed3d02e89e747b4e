import { IpseckitError } from '../../report/errors.js';
import { BatchReader } from './batch-reader.js';
import { accessDenied, nativeIo, readerKinds, textOf } from './native.js';

/** Frames that cross a device, in both directions, while it is open. */
export interface FrameCapture {
  close(): void;
}

/**
 * Watches a device. `onFrames` gets whole link layer frames, valid until it returns. Throws `IpseckitError`:
 * ACCESS_DENIED without CAP_NET_RAW, ENVIRONMENT when there is no such device.
 */
export function captureFrames(
  device: string,
  onFrames: (frames: readonly Uint8Array[]) => void,
  onFailure: (error: Error) => void,
): FrameCapture {
  const native = nativeIo();
  let fd: number;
  try {
    fd = native.openCapture(device);
  } catch (error) {
    throw (
      accessDenied(`cannot watch the device ${device}`, error) ??
      new IpseckitError('ENVIRONMENT', `cannot watch the device ${device}: ${textOf(error)}`, {
        next: '"ip link" lists the devices',
        cause: error,
      })
    );
  }
  return new BatchReader(native, fd, readerKinds.raw, {
    onPackets: (batch, count) => onFrames(batch.packets(count)),
    onFailure: code =>
      onFailure(
        new IpseckitError('ENVIRONMENT', `the device ${device} cannot be watched any more (${code})`),
      ),
  });
}
