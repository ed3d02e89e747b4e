/** The UDP ports of IKE: its own (RFC 2408 2.5.1), and the one it shares with ESP behind NAT (RFC 3947 4). */
export const ikePort = 500;
export const natTraversalPort = 4500;
