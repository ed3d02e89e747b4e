/** The numbers of pcapng (draft-ietf-opsawg-pcapng) that reader and writer share. */

export const blockTypes = {
  section: 0x0a0d_0d0a,
  interface: 1,
  /** Obsolete, still written by old programs. */
  packet: 2,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const;

export const byteOrderMagic = 0x1a2b_3c4d;

/** Type and length before the body, length behind. */
export const smallestBlockBytes = 12;

/** Options: those of every block, then by block. */
export const optionCodes = {
  end: 0,
  comment: 1,
  section: { hardware: 2, os: 3, application: 4 },
  interface: { name: 2, description: 3, timeResolution: 9, filter: 11, timeOffset: 14 },
  enhancedPacket: { flags: 2 },
  interfaceStatistics: { received: 4, dropped: 5 },
} as const;

/** The lowest two bits of an enhanced packet's flags. */
export const directionFlags = { inbound: 1, outbound: 2 } as const;

/** `if_tsresol` of interfaces without that option: microseconds. */
export const defaultTimeResolution = 6;
