import type { HostFacts } from '../../../src/diag/netdiag/host-facts.js';
import type { IpsecFilter, IpsecTestInput } from '../../../src/diag/netdiag/ipsec-input.js';
import type { Probes } from '../../../src/diag/netdiag/probes.js';
import type { DriverStatistics, FilterId, PairId, Spi } from '../../../src/driver/api.js';
import { noDrops } from '../../../src/driver/no-drops.js';
import type { IkeStatistics, MainModeInfo, QuickModeInfo } from '../../../src/ike/info.js';
import { defaultKeyExchange } from '../../../src/policy/build.js';
import { expandPolicies } from '../../../src/policy/expand.js';
import type { Policy } from '../../../src/policy/model.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { hostRange } from '../../../src/wire/ip/selector.js';

export const own = ipAddress('192.0.2.10');
export const peer = ipAddress('192.0.2.20');

const noTraffic = { bytes: 1, packets: 1, errors: 0, dropped: 0 };

/** The host of the documented sample. */
export const host: HostFacts = {
  header: {
    computerName: 'GATEWAY1',
    dnsHostName: 'gateway1.example.com',
    systemInfo: 'Linux 6.8 (Debian 13)',
    processor: 'x86_64, GenuineIntel',
  },
  hostName: 'gateway1',
  adapters: [
    {
      name: 'eth0',
      kind: 'ethernet',
      connected: true,
      received: noTraffic,
      sent: noTraffic,
      addresses: [{ address: own, prefixLength: 24 }],
      gateways: [ipAddress('192.0.2.1')],
      lower: [],
    },
  ],
  routes: [],
  dnsServers: ['192.0.2.53'],
};

export const ikeStatistics: IkeStatistics = {
  mainModes: 1,
  quickModes: 2,
  softAssociations: 0,
  authenticationFailures: 0,
  activeAcquire: 0,
  activeReceive: 0,
  acquireFailures: 0,
  receiveFailures: 0,
  sendFailures: 0,
  acquireHeapSize: 0,
  receiveHeapSize: 0,
  negotiationFailures: 0,
  invalidCookies: 0,
  totalAcquire: 1,
  totalGetSpi: 2,
  keyAdditions: 2,
  keyUpdates: 2,
  getSpiFailures: 0,
  keyAdditionFailures: 0,
  keyUpdateFailures: 0,
  isadbListSize: 1,
  connectionListSize: 2,
  invalidPackets: 0,
};

export const driverStatistics: DriverStatistics = {
  activeAssociations: 2,
  pendingKeys: 0,
  keyAdditions: 2,
  keyDeletions: 0,
  rekeys: 0,
  activeTunnels: 0,
  badSpiPackets: 0,
  packetsNotDecrypted: 0,
  packetsNotAuthenticated: 0,
  packetsWithReplayDetection: 0,
  confidentialBytesSent: 1000,
  confidentialBytesReceived: 2000,
  authenticatedBytesSent: 1000,
  authenticatedBytesReceived: 2000,
  transportBytesSent: 1000,
  transportBytesReceived: 2000,
  tunnelBytesSent: 0,
  tunnelBytesReceived: 0,
  drops: noDrops(),
};

export const idle: IpsecTestInput = {
  nowMs: 100_000,
  agent: { state: 'running' },
  disagreements: [],
  filters: [],
  mainModes: [],
  quickModes: [],
  pairs: [],
};

/** The filters of a policy as the agent shows them, with ids as in the documented samples. */
export function shownFilters(...policies: readonly Policy[]): IpsecFilter[] {
  const { filters } = expandPolicies(
    policies.map(policy => ({ policy })),
    { localAddresses: [{ address: own }] },
  );
  return filters.map(({ filter, rule }, i) => ({
    filter: {
      ...filter,
      id: `{AAAAAAAA-000${i + 1}-4000-8000-00000000000${i + 1}}` as FilterId,
      policyId: `{BBBBBBBB-000${i + 1}-4000-8000-00000000000${i + 1}}`,
    },
    action: rule.action,
    authentication: rule.authentication.map(method =>
      method.kind === 'certificate' ? `certificate: ${method.authority}` : method.kind,
    ),
  }));
}

export const mainMode: MainModeInfo = {
  local: own,
  peer,
  localPort: 500,
  peerPort: 500,
  initiatorCookie: '0123456789abcdef',
  responderCookie: 'fedcba9876543210',
  role: 'initiator',
  state: 'established',
  method: { encryption: '3des', hash: 'sha1', group: 2 },
  authentication: 'preshared',
  natDetected: { local: false, peer: false },
  vendorIds: [],
  quickModes: 1,
  establishedAtMs: 60_000,
  expiresAtMs: 28_860_000,
};

export const quickMode: QuickModeInfo = {
  pair: {
    id: 'pair' as PairId,
    local: own,
    peer,
    mode: 'transport',
    selector: {
      source: hostRange(own),
      destination: hostRange(peer),
      protocol: 0,
      sourcePort: 0,
      destinationPort: 0,
    },
    lifetime: { softSeconds: 3240, hardSeconds: 3600, softKilobytes: 90_000, hardKilobytes: 100_000 },
  },
  inbound: [{ protocol: 'esp', spi: 1_234_567_890 as Spi }],
  outbound: [{ protocol: 'esp', spi: 987_654_321 as Spi }],
  method: { esp: { encryption: '3des', hash: 'sha1' } },
  establishedAtMs: 60_000,
  expiresAtMs: 3_660_000,
  role: 'initiator',
};

/** A host with a secured peer, as the documented samples show it. */
export const secured: Omit<IpsecTestInput, 'filters'> = {
  ...idle,
  policy: {
    kind: 'local',
    id: '{11111111-2222-3333-4444-555555555555}',
    name: 'Lab',
    path: '/etc/ipseckit/policies/ipsecPolicy{11111111-2222-3333-4444-555555555555}.json',
  },
  keyExchange: defaultKeyExchange,
  mainModes: [mainMode],
  quickModes: [quickMode],
  pairs: [
    {
      pairId: 'pair' as PairId,
      bytesSent: 64 * 1024,
      bytesReceived: 65 * 1024,
      packetsSent: 100,
      packetsReceived: 100,
      outboundActive: true,
      drops: {},
    },
  ],
  statistics: { ike: ikeStatistics, driver: driverStatistics },
};

/** Probes of a host on which everything answers. */
export function probes(changes: Partial<Probes> = {}): Probes {
  return {
    ping: async () => ({ kind: 'answered', milliseconds: 1 }),
    askNameServer: async () => ({ kind: 'found', addresses: [own] }),
    services: async () => [],
    readText: path => (path === '/proc/net/protocols' ? 'protocol size\nTCP 1\nUDP 1\n' : undefined),
    hasKerberosTicket: async () => undefined,
    ipsec: async () => idle,
    ...changes,
  };
}
