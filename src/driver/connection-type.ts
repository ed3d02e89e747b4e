/** What an adapter counts as for `-lan` and `-dialup`. */
export type ConnectionType = 'lan' | 'dialup';

/** How the names of dial-up adapters begin on Linux; every other adapter is a LAN's. */
export const dialupDevicePrefixes = ['ppp', 'wwan', 'rmnet'] as const;

export function connectionTypeOf(device: string): ConnectionType {
  return dialupDevicePrefixes.some(prefix => device.startsWith(prefix)) ? 'dialup' : 'lan';
}
