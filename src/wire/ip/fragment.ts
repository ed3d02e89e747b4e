/** Cutting an IPv4 packet into fragments (RFC 791 3.2). */
import { WireError } from '../bytes.js';
import { decodeIpv4, encodeIpv4, ipv4HeaderBytes, ipv4Options, ipv4Payload } from './packet.js';

/** Option types with this bit are copied into every fragment. */
const copiedFlag = 0x80;
const endOfOptions = 0;
const noOperation = 1;

/**
 * The packet itself when it fits into `mtu` bytes, else its fragments. Ignores DF: who cuts has decided. A fragment can
 * be cut again. Throws `WireError` when the packet is malformed or no fragment fits into `mtu`.
 */
export function fragmentIpv4(packet: Uint8Array, mtu: number): Uint8Array[] {
  const header = decodeIpv4(packet);
  if (header.totalLength <= mtu) return [packet.subarray(0, header.totalLength)];
  const payload = ipv4Payload(packet, header);
  const laterOptions = copiedOptions(ipv4Options(packet, header));
  const fragments: Uint8Array[] = [];
  let offset = 0;
  while (offset < payload.length) {
    const options = offset === 0 ? ipv4Options(packet, header) : laterOptions;
    const room = mtu - ipv4HeaderBytes - options.length;
    if (room < 8) throw new WireError('bad-length', 0, `no fragment fits into ${mtu} bytes`);
    const end = payload.length - offset <= room ? payload.length : offset + Math.floor(room / 8) * 8;
    const fields = {
      ...header,
      moreFragments: header.moreFragments || end < payload.length,
      fragmentOffset: header.fragmentOffset + offset,
      dontFragment: false,
    };
    fragments.push(encodeIpv4(fields, payload.subarray(offset, end), options));
    offset = end;
  }
  return fragments;
}

/** The options that every fragment repeats, padded to a multiple of 4. */
function copiedOptions(options: Uint8Array): Uint8Array {
  const kept: number[] = [];
  let at = 0;
  while (at < options.length) {
    const type = options[at] ?? endOfOptions;
    if (type === endOfOptions) break;
    const length = type === noOperation ? 1 : (options[at + 1] ?? 0);
    if (type !== noOperation && (length < 2 || at + length > options.length))
      throw new WireError('bad-length', ipv4HeaderBytes + at, `IPv4 option ${type} of ${length} bytes`);
    if ((type & copiedFlag) !== 0) kept.push(...options.subarray(at, at + length));
    at += length;
  }
  while (kept.length % 4 !== 0) kept.push(endOfOptions);
  return Uint8Array.from(kept);
}
