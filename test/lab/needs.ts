/** What a suite needs from the machine. */
import { existsSync } from 'node:fs';

const programs = {
  charon: '/usr/lib/ipsec/charon',
  'xauth-generic': '/usr/lib/ipsec/plugins/libstrongswan-xauth-generic.so',
  swanctl: '/usr/sbin/swanctl',
  'linux.uml': '/usr/bin/linux.uml',
  tshark: '/usr/bin/tshark',
  capinfos: '/usr/bin/capinfos',
  tcpdump: '/usr/bin/tcpdump',
  'ike-scan': '/usr/bin/ike-scan',
  iperf3: '/usr/bin/iperf3',
  slapd: '/usr/sbin/slapd',
  ldapmodify: '/usr/bin/ldapmodify',
  nft: '/usr/sbin/nft',
  ping: '/usr/bin/ping',
  python3: '/usr/bin/python3',
} as const;

export type Program = keyof typeof programs;

/**
 * For a suite's `skip` option: `false` when root and all programs are there, otherwise the reason to skip it. Where
 * `CI=true` nothing may be skipped: it throws instead.
 */
export function needs(...wanted: readonly Program[]): string | false {
  const lacking: string[] = wanted.filter(name => !existsSync(programs[name]));
  if (process.getuid?.() !== 0) lacking.unshift('root');
  if (lacking.length === 0) return false;
  const reason = `needs ${lacking.join(', ')} (test/lab/install brings the programs)`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}
