import { ByteReader } from '../bytes.js';
import { notifyTypes } from './numbers.js';
import type { NotifyPayload } from './payloads.js';

/**
 * The Win32 error of an MS-NOTIFY-STATUS ([MS-IKEE] 2.2.6), and the quick mode it is about when the sender put
 * its message id first. Senders disagree on what is SPI and what is data: the status is always the last 4 bytes.
 * `undefined` for another notification or less than 4 bytes.
 */
export function microsoftStatus(
  notify: NotifyPayload,
): { readonly status: number; readonly messageId?: number } | undefined {
  if (notify.notifyType !== notifyTypes['MS-NOTIFY-STATUS']) return undefined;
  const content = Uint8Array.from([...notify.spi, ...notify.data]);
  if (content.length < 4) return undefined;
  const reader = new ByteReader(content.subarray(-8));
  const messageId = notify.spi.length === 8 && content.length >= 8 ? reader.u32('message id') : undefined;
  const status = new ByteReader(content.subarray(-4)).u32('status');
  return messageId === undefined ? { status } : { status, messageId };
}
