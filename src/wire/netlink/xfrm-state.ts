/** XFRM states, the kernel's SAs: one protocol in one direction. */
import { WireError } from '../bytes.js';
import { addressBytes, type IpAddress } from '../ip/address.js';
import {
  decodeLayout,
  encodeLayout,
  hostIsLittleEndian,
  type Layout,
  type StructOf,
  u32,
  u64,
} from './layout.js';
import { decodeAttributes, encodePayload, type NetlinkAttribute } from './message.js';
import { addressOf, familyNumber, selectorFields, selectorOf, type XfrmSelector } from './xfrm-selector.js';
import * as c from './xfrm-structures.js';

export type XfrmMode = (typeof c.modes)[number];

/** Names a state: what its packets carry. */
export interface XfrmStateId {
  readonly destination: IpAddress;
  readonly spi: number;
  /** 50 or 51. */
  readonly protocol: number;
}

/** Limits of a state; 0 in seconds, and `Infinity` in bytes and packets, is none. */
export interface XfrmLimits {
  readonly softSeconds: number;
  readonly hardSeconds: number;
  readonly softBytes: number;
  readonly hardBytes: number;
  readonly softPackets: number;
  readonly hardPackets: number;
}

/** A keyed algorithm by the kernel's name, `cbc(aes)`. */
export interface XfrmAlgorithm {
  readonly name: string;
  readonly key: Uint8Array;
}

/**
 * Where the sequence numbers stand: the whole of extended ones, exact up to 2^53. `bitmap` has a word of 32 bits for every
 * 32 packets of the window.
 */
export interface XfrmReplay {
  readonly window: number;
  readonly outbound: number;
  readonly inbound: number;
  readonly bitmap: readonly number[];
}

export interface XfrmState {
  readonly id: XfrmStateId;
  readonly source: IpAddress;
  readonly mode: XfrmMode;
  readonly requestId: number;
  /** Inner packets it may carry; `user` 0. */
  readonly selector: XfrmSelector;
  readonly limits: XfrmLimits;
  /** Of the acquire it answers; 0 none. */
  readonly sequence: number;
  readonly flags: number;
  readonly encryption?: XfrmAlgorithm;
  readonly authentication?: XfrmAlgorithm & { readonly icvBits: number };
  readonly combined?: XfrmAlgorithm & { readonly icvBits: number };
  readonly encapsulation?: { readonly sourcePort: number; readonly destinationPort: number };
  readonly replay?: XfrmReplay;
}

/** A state as the kernel tells it. */
export interface XfrmStateReport extends XfrmState {
  readonly usage: {
    readonly bytes: number;
    readonly packets: number;
    readonly addedAtSeconds: number;
    readonly usedAtSeconds: number;
  };
  /** Refused by the replay window: seen before, or too late for it. */
  readonly replayed: number;
  readonly integrityFailed: number;
  /** Wall clock. */
  readonly lastUsedAtSeconds?: number;
}

const noLimit = Number.POSITIVE_INFINITY;
/** Sequence numbers are told in halves of 32 bits. */
const wordNumbers = 2 ** 32;

/** The payload of a message that adds or changes a state. */
export function encodeState(state: XfrmState, littleEndian = hostIsLittleEndian): Uint8Array {
  const info = encodeLayout(c.stateInfo, stateInfoFields(state), littleEndian);
  return encodePayload(info, stateAttributes(state, littleEndian), littleEndian);
}

/** The structure that names a state in a request. */
export function encodeStateId(id: XfrmStateId, littleEndian = hostIsLittleEndian): Uint8Array {
  const { destination, spi, protocol } = id;
  const fields = {
    destination: addressBytes(destination),
    spi,
    family: familyNumber(destination),
    protocol,
  };
  return encodeLayout(c.stateId, fields, littleEndian);
}

/** Reads what `encodeState` writes, and what the kernel tells. Throws `WireError`. */
export function decodeState(payload: Uint8Array, littleEndian = hostIsLittleEndian): XfrmStateReport {
  const info = decodeLayout(c.stateInfo, payload, littleEndian, 'XFRM state');
  const attributes = decodeAttributes(payload, c.stateInfo.bytes, littleEndian);
  return stateOf(info, attributes, littleEndian);
}

export function stateInfoFields(state: XfrmState): StructOf<typeof c.stateInfo> {
  const { id, limits } = state;
  return {
    selector: selectorFields(state.selector),
    id: { destination: addressBytes(id.destination), spi: id.spi, protocol: id.protocol },
    source: addressBytes(state.source),
    limits: {
      softBytes: limits.softBytes,
      hardBytes: limits.hardBytes,
      softPackets: limits.softPackets,
      hardPackets: limits.hardPackets,
      softAddSeconds: limits.softSeconds,
      hardAddSeconds: limits.hardSeconds,
      softUseSeconds: 0,
      hardUseSeconds: 0,
    },
    usage: { bytes: 0, packets: 0, addedAtSeconds: 0, usedAtSeconds: 0 },
    counts: { replayWindow: 0, replayed: 0, integrityFailed: 0 },
    sequence: state.sequence,
    requestId: state.requestId,
    family: familyNumber(id.destination),
    mode: c.modes.indexOf(state.mode),
    // The window is in the replay attribute, which has room for more than 32.
    replayWindow: 0,
    flags: state.flags,
  };
}

export function stateOf(
  info: StructOf<typeof c.stateInfo>,
  attributes: readonly NetlinkAttribute[],
  littleEndian: boolean,
): XfrmStateReport {
  const { id, limits, usage, counts } = info;
  const mode = c.modes[info.mode];
  if (mode === undefined) throw new WireError('unsupported', 0, `XFRM mode ${info.mode}`);
  // A state without a selector has no family in it.
  const selector = selectorOf({ ...info.selector, family: info.selector.family || info.family });
  return {
    id: { destination: addressOf(id.destination, info.family), spi: id.spi, protocol: id.protocol },
    source: addressOf(info.source, info.family),
    mode,
    requestId: info.requestId,
    selector,
    limits: {
      softSeconds: limits.softAddSeconds,
      hardSeconds: limits.hardAddSeconds,
      softBytes: limits.softBytes,
      hardBytes: limits.hardBytes,
      softPackets: limits.softPackets,
      hardPackets: limits.hardPackets,
    },
    sequence: info.sequence,
    flags: info.flags,
    usage,
    replayed: counts.replayed + counts.replayWindow,
    integrityFailed: counts.integrityFailed,
    ...stateParts(attributes, littleEndian),
  };
}

/** No limits at all. */
export const unlimited: XfrmLimits = {
  softSeconds: 0,
  hardSeconds: 0,
  softBytes: noLimit,
  hardBytes: noLimit,
  softPackets: noLimit,
  hardPackets: noLimit,
};

function stateAttributes(state: XfrmState, little: boolean): NetlinkAttribute[] {
  const { combined, authentication, encryption, encapsulation, replay } = state;
  const { xfrmAttributes: types } = c;
  const attributes: NetlinkAttribute[] = [];
  if (combined !== undefined)
    attributes.push({ type: types.combined, value: truncatedBytes(combined, little) });
  if (authentication !== undefined)
    attributes.push({ type: types.authenticationTruncated, value: truncatedBytes(authentication, little) });
  if (encryption !== undefined)
    attributes.push({ type: types.encryption, value: algorithmBytes(encryption, little) });
  if (encapsulation !== undefined)
    attributes.push({
      type: types.encapsulation,
      value: encodeLayout(
        c.encapsulation,
        { type: c.espInUdp, ...encapsulation, original: new Uint8Array(16) },
        little,
      ),
    });
  if (replay !== undefined) attributes.push({ type: types.replayState, value: replayBytes(replay, little) });
  return attributes;
}

function stateParts(attributes: readonly NetlinkAttribute[], little: boolean) {
  const parts: {
    encryption?: XfrmAlgorithm;
    authentication?: XfrmAlgorithm & { icvBits: number };
    combined?: XfrmAlgorithm & { icvBits: number };
    encapsulation?: { sourcePort: number; destinationPort: number };
    replay?: XfrmReplay;
    lastUsedAtSeconds?: number;
  } = {};
  for (const { type, value } of attributes) {
    if (type === c.xfrmAttributes.encryption) {
      const { name, keyBits } = decodeLayout(c.algorithm, value, little, 'algorithm');
      parts.encryption = { name: nameOf(name), key: keyOf(value, c.algorithm, keyBits) };
    } else if (type === c.xfrmAttributes.authenticationTruncated || type === c.xfrmAttributes.combined) {
      const { name, keyBits, icvBits } = decodeLayout(c.truncatedAlgorithm, value, little, 'algorithm');
      const one = { name: nameOf(name), key: keyOf(value, c.truncatedAlgorithm, keyBits), icvBits };
      if (type === c.xfrmAttributes.combined) parts.combined = one;
      else parts.authentication = one;
    } else if (type === c.xfrmAttributes.encapsulation) {
      const fields = decodeLayout(c.encapsulation, value, little, 'encapsulation');
      parts.encapsulation = { sourcePort: fields.sourcePort, destinationPort: fields.destinationPort };
    } else if (type === c.xfrmAttributes.replayState) parts.replay = replayOf(value, little);
    else if (type === c.xfrmAttributes.lastUsed)
      parts.lastUsedAtSeconds = decodeLayout(u64, value, little, 'last use');
  }
  return parts;
}

function algorithmBytes({ name, key }: XfrmAlgorithm, little: boolean): Uint8Array {
  const fields = { name: Buffer.from(name), keyBits: key.length * 8 };
  return Buffer.concat([encodeLayout(c.algorithm, fields, little), key]);
}

function truncatedBytes(
  { name, key, icvBits }: XfrmAlgorithm & { readonly icvBits: number },
  little: boolean,
): Uint8Array {
  const fields = { name: Buffer.from(name), keyBits: key.length * 8, icvBits };
  return Buffer.concat([encodeLayout(c.truncatedAlgorithm, fields, little), key]);
}

function nameOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('latin1');
}

function keyOf(value: Uint8Array, layout: Layout<unknown>, bits: number): Uint8Array {
  const end = layout.bytes + Math.ceil(bits / 8);
  if (end > value.length) throw new WireError('truncated', 0, `a key of ${bits} bits`);
  return value.slice(layout.bytes, end);
}

function replayBytes({ window, outbound, inbound, bitmap }: XfrmReplay, little: boolean): Uint8Array {
  const fields = {
    bitmapWords: bitmap.length,
    outbound: outbound % wordNumbers,
    inbound: inbound % wordNumbers,
    outboundHigh: Math.floor(outbound / wordNumbers),
    inboundHigh: Math.floor(inbound / wordNumbers),
    window,
  };
  return Buffer.concat([
    encodeLayout(c.replayState, fields, little),
    ...bitmap.map(word => encodeLayout(u32, word, little)),
  ]);
}

function replayOf(value: Uint8Array, little: boolean): XfrmReplay {
  const fields = decodeLayout(c.replayState, value, little, 'replay state');
  const words = Math.floor((value.length - c.replayState.bytes) / u32.bytes);
  if (words < fields.bitmapWords) throw new WireError('truncated', 0, 'replay bitmap');
  const bitmap = Array.from({ length: fields.bitmapWords }, (_, i) =>
    decodeLayout(u32, value.subarray(c.replayState.bytes + i * u32.bytes), little, 'replay bitmap'),
  );
  return {
    window: fields.window,
    outbound: fields.outboundHigh * wordNumbers + fields.outbound,
    inbound: fields.inboundHigh * wordNumbers + fields.inbound,
    bitmap,
  };
}
