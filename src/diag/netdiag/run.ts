/** Runs the tests in catalogue order. All I/O is in `Probes`. */
import { catalogueEntries, type TestName } from './catalogue.js';
import type { HostFacts } from './host-facts.js';
import type { IpsecTestInput } from './ipsec-input.js';
import type { NetdiagOptions } from './options.js';
import type { Probes } from './probes.js';
import { type NetdiagReport, skipped, type TestOutcome, type TestReport } from './report.js';
import { autonetTest, bindingsTest, ipConfigTest, ndisTest, wanTest } from './tests/adapters.js';
import { dcDiscoveryTest, kerberosTest, memberTest } from './tests/directory.js';
import { ipsecTest } from './tests/ipsec.js';
import { defaultGatewayTest, dnsTest, loopbackTest } from './tests/reachability.js';
import { netstatTest, routeTest, winsockTest } from './tests/stack.js';

type RunTest = (host: HostFacts, probes: Probes) => TestOutcome | Promise<TestOutcome>;

const notOnLinux = (what: string) => () => skipped(`${what} not applicable on Linux.`);

/** How each test but the last is run. */
const tests: Record<Exclude<TestName, 'IPSec'>, RunTest> = {
  Ndis: ndisTest,
  IpConfig: ipConfigTest,
  Member: (_, probes) => memberTest(probes),
  NetBTTransports: notOnLinux('NetBT is'),
  Autonet: autonetTest,
  IpLoopBk: (_, probes) => loopbackTest(probes),
  DefGw: defaultGatewayTest,
  NbtNm: notOnLinux('NetBT is'),
  WINS: ({ adapters }) => ({
    ...skipped('WINS is not applicable on Linux.'),
    adapters: adapters.map(({ name }) => ({
      adapter: name,
      status: 'Skipped',
      details: [{ text: 'There are no WINS servers configured for this interface.', from: 'normal' }],
    })),
  }),
  Winsock: (_, probes) => winsockTest(probes),
  DNS: dnsTest,
  Browser: notOnLinux('The redirector and the browser are'),
  DsGetDc: (_, probes) => dcDiscoveryTest(probes),
  DcList: notOnLinux('Binding to domain controllers is'),
  Trust: notOnLinux('The secure channel is'),
  Kerberos: (_, probes) => kerberosTest(probes),
  Ldap: notOnLinux('Binding to domain controllers is'),
  Route: routeTest,
  Netstat: netstatTest,
  Bindings: bindingsTest,
  WAN: wanTest,
  Modem: notOnLinux('Modem diagnostics is'),
  Netware: notOnLinux('NetWare is'),
  IPX: notOnLinux('IPX is'),
};

/**
 * Runs the chosen tests one after another; `onProgress` hears of each when it is done. When no adapter works the
 * others are left out.
 */
export async function runNetdiag(
  options: NetdiagOptions,
  host: HostFacts,
  probes: Probes,
  onProgress: (report: TestReport, text: string) => void,
): Promise<NetdiagReport> {
  const reports: TestReport[] = [];
  let ipsec: IpsecTestInput | undefined;
  for (const { name, title, progress } of catalogueEntries) {
    if (!options.tests.includes(name)) continue;
    let outcome: TestOutcome;
    if (name === 'IPSec') {
      ipsec = await probes.ipsec();
      outcome = ipsecTest(ipsec);
    } else outcome = await tests[name](host, probes);
    const report = { name, title, ...outcome };
    reports.push(report);
    onProgress(report, progress.endsWith('...') ? `${progress} ${report.status}` : progress);
    if (name === 'Ndis' && report.status === 'Failed') break;
  }
  return {
    header: host.header,
    adapters: host.adapters.map(({ name }) => name),
    tests: reports,
    ...(ipsec === undefined ? {} : { ipsec }),
    notes: [
      ...(options.fix ? ['There is nothing on this computer that netdiag could repair.'] : []),
      ...(options.dcAccountEnum ? ['There are no domain controller accounts to list.'] : []),
    ],
  };
}
