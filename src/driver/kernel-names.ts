/** Names and numbers in the kernel that are ours. */
export const steeringNames = {
  table: 'ipseckit',
  /** Pairs of hosts, far one first, between which clear packets pass filters that allow fallback. */
  softSets: { 4: 'soft', 6: 'soft6' },
  /** Ports of peers that stand for others of clients behind a NAT: address, protocol, port. */
  translatedSets: { 4: 'translated', 6: 'translated6' },
  /** Of the firewall mark only these bits are used on what is steered, so that others may change theirs on the way. */
  markMask: 0x3000_0000,
  /** To be secured: goes to the TUN device. */
  secureMark: 0x1000_0000,
  /** Sent by the engine itself: not looked at. The whole mark, for others use the same bits (Mullvad 0x6d6f6c65). */
  bypassMark: 0x2b69_7073,
  /** Opened by the engine: came in through the TUN device. */
  openedMark: 0x3000_0000,
  /** Where marked packets are routed (ESP 50, AH 51). */
  secureRouteTable: 50051,
  /** Routes towards tunnelled networks for programs on this host, used where the host has none of its own. */
  fallbackRouteTable: 50052,
  /** Routes from addresses that gateways gave this host. */
  assignedRouteTable: 50053,
  rulePreferences: { secure: 50, opened: 51, assigned: 52, afterAssigned: 53, fallback: 32_800 },
  /** Ends what would go from an assigned IPv6 address when the process that serves it is gone. */
  deadEndDevice: 'ipseckit-end',
} as const;

/** A mark as `nft` and `ip` write it. */
export const hex = (mark: number) => `0x${mark.toString(16)}`;

/** Matches packets that carry no mark of ours, in `ip rule`. */
export const noMark = `fwmark 0/${hex(steeringNames.markMask)}`;

/** Not 4294967295: in IPv6, "ip route flush" leaves that one, which it takes for the kernel's own. */
export const lastMetric = 4_294_967_294;
