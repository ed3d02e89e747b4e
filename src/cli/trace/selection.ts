import type { DropTrace, TracedPair } from '../../agent/drop-trace.js';
import type { DropRecord } from '../../driver/api.js';
import { IpseckitError } from '../../report/errors.js';
import { parseIpAddress } from '../../wire/ip/address.js';

/** What a trace is narrowed to. With nothing set, it is everything. */
export interface TraceSelection {
  readonly pairId?: string;
  readonly spi?: number;
  readonly peer?: string;
}

const smallestSpi = 256;
const pairIdDigits = 16;

/**
 * Reads the words of the command line: an SPI is hexadecimal with 0x, or decimal; a pair is named by its id, 16
 * hexadecimal digits. Throws `IpseckitError` USAGE.
 */
export function parseSelection(sa: string | undefined, peer: string | undefined): TraceSelection {
  const address = peer === undefined ? undefined : parseIpAddress(peer);
  if (peer !== undefined && address === undefined)
    throw new IpseckitError('USAGE', `--peer: '${peer}' is no IP address`, { next: 'write an address' });
  return { ...(sa === undefined ? {} : parseSa(sa)), ...(address === undefined ? {} : { peer: address }) };
}

function parseSa(text: string): TraceSelection {
  if (new RegExp(`^[0-9a-f]{${pairIdDigits}}$`, 'i').test(text)) return { pairId: text.toLowerCase() };
  const spi = /^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  if (spi >= smallestSpi && spi <= 0xffff_ffff) return { spi };
  throw new IpseckitError('USAGE', `'${text}' is neither an SPI nor the id of a pair`, {
    next: 'write an SPI as "ipseckit sa list" shows it, or the id of a pair as "ipseckit sa trace" shows it',
  });
}

export function selectsAll({ pairId, spi, peer }: TraceSelection): boolean {
  return pairId === undefined && spi === undefined && peer === undefined;
}

export function selectsPair({ pairId, spi, peer }: TraceSelection, pair: TracedPair): boolean {
  return (
    (pairId === undefined || pairId === pair.pairId) &&
    (spi === undefined || pair.inboundSpis.includes(spi) || pair.outboundSpis.includes(spi)) &&
    (peer === undefined || peer === pair.peer)
  );
}

/** A dropped packet counts as a pair's, and as one of its SAs' and its peer's, when it was dropped on behalf of the pair. */
export function selectsRecord(
  selection: TraceSelection,
  record: DropRecord,
  pairs: readonly TracedPair[],
): boolean {
  if (selectsAll(selection)) return true;
  if (pairs.some(pair => pair.pairId === record.pairId && selectsPair(selection, pair))) return true;
  const { pairId, spi, peer } = selection;
  return (
    (pairId === undefined || pairId === record.pairId) &&
    (spi === undefined || spi === record.packet?.spi) &&
    (peer === undefined || peer === record.packet?.source || peer === record.packet?.destination)
  );
}

/** The part of a trace that is asked for. Counters of the whole engine stay as they are. */
export function select(trace: DropTrace, selection: TraceSelection): DropTrace {
  if (selectsAll(selection)) return trace;
  const isWanted = (record: DropRecord) => selectsRecord(selection, record, trace.pairs);
  return {
    ...trace,
    lastByReason: Object.fromEntries(
      Object.entries(trace.lastByReason).filter(([, record]) => isWanted(record)),
    ),
    recent: trace.recent.filter(isWanted),
    pairs: trace.pairs.filter(pair => selectsPair(selection, pair)),
    filters: [],
  };
}
