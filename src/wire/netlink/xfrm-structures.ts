/** The structures of `linux/xfrm.h`, as a 64-bit kernel lays them out. */
import { be16, be32, i32, raw, struct, u8, u16, u32, u64 } from './layout.js';

/** `AF_INET` and `AF_INET6`. */
export const addressFamilies = { 4: 2, 6: 10 } as const;

/** Message types (`XFRM_MSG_…`). */
export const xfrmTypes = {
  newState: 0x10,
  deleteState: 0x11,
  getState: 0x12,
  newPolicy: 0x13,
  deletePolicy: 0x14,
  getPolicy: 0x15,
  allocateSpi: 0x16,
  acquire: 0x17,
  expire: 0x18,
  updatePolicy: 0x19,
  updateState: 0x1a,
  mapping: 0x26,
} as const;

/** Attribute types (`XFRMA_…`). */
export const xfrmAttributes = {
  authentication: 1,
  encryption: 2,
  encapsulation: 4,
  templates: 5,
  lastUsed: 15,
  combined: 18,
  authenticationTruncated: 20,
  mark: 21,
  replayState: 23,
} as const;

/** Multicast groups (`XFRMNLGRP_…`). */
export const xfrmGroups = { acquire: 1, expire: 2, mapping: 8 } as const;

/**
 * `XFRM_STATE_…`: an ICMP error is let in by the packet it quotes; AH is padded to four bytes as IPv4 has it; sequence
 * numbers have 64 bits (RFC 4304).
 */
export const stateFlags = { icmp: 16, align4: 64, extendedSequence: 128 } as const;

/** `XFRM_POLICY_…`: also for ICMP errors about packets that go the other way. */
export const policyFlags = { icmp: 2 } as const;

/** `UDP_ENCAP_ESPINUDP` (RFC 3948). */
export const espInUdp = 2;

export const directions = ['in', 'out', 'fwd'] as const;
export const actions = ['allow', 'block'] as const;
export const modes = ['transport', 'tunnel'] as const;

const address = raw(16, 4);

export const identity = struct({ destination: address, spi: be32, protocol: u8 });

export const selector = struct({
  destination: address,
  source: address,
  destinationPort: be16,
  destinationPortMask: be16,
  sourcePort: be16,
  sourcePortMask: be16,
  family: u16,
  destinationPrefix: u8,
  sourcePrefix: u8,
  protocol: u8,
  interfaceIndex: i32,
  user: u32,
});

export const limits = struct({
  softBytes: u64,
  hardBytes: u64,
  softPackets: u64,
  hardPackets: u64,
  softAddSeconds: u64,
  hardAddSeconds: u64,
  softUseSeconds: u64,
  hardUseSeconds: u64,
});

export const usage = struct({ bytes: u64, packets: u64, addedAtSeconds: u64, usedAtSeconds: u64 });

export const counts = struct({ replayWindow: u32, replayed: u32, integrityFailed: u32 });

export const stateInfo = struct({
  selector,
  id: identity,
  source: address,
  limits,
  usage,
  counts,
  sequence: u32,
  requestId: u32,
  family: u16,
  mode: u8,
  replayWindow: u8,
  flags: u8,
});

export const stateId = struct({ destination: address, spi: be32, family: u16, protocol: u8 });

export const policyInfo = struct({
  selector,
  limits,
  usage,
  priority: u32,
  index: u32,
  direction: u8,
  action: u8,
  flags: u8,
  share: u8,
});

export const policyId = struct({ selector, index: u32, direction: u8 });

export const template = struct({
  id: identity,
  family: u16,
  source: address,
  requestId: u32,
  mode: u8,
  share: u8,
  optional: u8,
  authenticationAlgorithms: u32,
  encryptionAlgorithms: u32,
  compressionAlgorithms: u32,
});

export const expiry = struct({ state: stateInfo, hard: u8 });

export const acquisition = struct({
  id: identity,
  source: address,
  selector,
  policy: policyInfo,
  authenticationAlgorithms: u32,
  encryptionAlgorithms: u32,
  compressionAlgorithms: u32,
  sequence: u32,
});

export const mappingChange = struct({
  id: stateId,
  requestId: u32,
  oldSource: address,
  newSource: address,
  oldSourcePort: be16,
  newSourcePort: be16,
});

export const spiRequest = struct({ state: stateInfo, minimum: u32, maximum: u32 });

export const encapsulation = struct({
  type: u16,
  sourcePort: be16,
  destinationPort: be16,
  original: address,
});

/** Each is followed by the key. */
export const algorithm = struct({ name: raw(64), keyBits: u32 });
export const truncatedAlgorithm = struct({ name: raw(64), keyBits: u32, icvBits: u32 });

/** Followed by the bitmap, in words of 32 bits. */
export const replayState = struct({
  bitmapWords: u32,
  outbound: u32,
  inbound: u32,
  outboundHigh: u32,
  inboundHigh: u32,
  window: u32,
});

export const mark = struct({ value: u32, mask: u32 });
