/**
 * Every test of netdiag in the order of execution: its name behind `/test:`, its title, where its result stands and
 * what the progress list says while it runs.
 */
export interface CatalogueEntry {
  /** As written behind `/test:` and `/skip:`, in any case. */
  readonly name: string;
  readonly title: string;
  /** Title of its line per adapter; absent when it has none. */
  readonly adapterTitle?: string;
  /** It has a line among the global results; else only per adapter. */
  readonly global: boolean;
  /** Cannot be skipped: runs also when another test is asked for. */
  readonly mandatory?: true;
  /** Its global result is shown from `/v` on. */
  readonly verboseOnly?: true;
  /** Progress at `/v`; the status follows those that end with dots. */
  readonly progress: string;
}

export const catalogue = [
  {
    name: 'Ndis',
    title: 'Netcard queries test',
    adapterTitle: 'Netcard queries test',
    global: true,
    mandatory: true,
    progress: 'Querying status of the Netcard drivers...',
  },
  {
    name: 'IpConfig',
    title: 'IpConfig results',
    adapterTitle: 'IpConfig results',
    global: false,
    mandatory: true,
    progress: 'Gathering IP configuration information.',
  },
  {
    name: 'Member',
    title: 'Domain membership test',
    global: true,
    mandatory: true,
    progress: 'Testing Domain membership...',
  },
  {
    name: 'NetBTTransports',
    title: 'NetBT transports test',
    global: true,
    mandatory: true,
    progress: 'Gathering NetBT configuration information.',
  },
  {
    name: 'Autonet',
    title: 'Autonet address test',
    adapterTitle: 'AutoConfiguration results',
    global: true,
    progress: 'Testing for autoconfiguration...',
  },
  { name: 'IpLoopBk', title: 'IP loopback ping test', global: true, progress: 'Testing IP loopback ping...' },
  {
    name: 'DefGw',
    title: 'Default gateway test',
    adapterTitle: 'Default gateway test',
    global: true,
    progress: 'Testing default gateways...',
  },
  {
    name: 'NbtNm',
    title: 'NetBT name test',
    global: true,
    progress: 'Enumerating local and remote NetBT name cache...',
  },
  {
    name: 'WINS',
    title: 'WINS service test',
    adapterTitle: 'WINS service test',
    global: false,
    progress: 'Testing the WINS server...',
  },
  { name: 'Winsock', title: 'Winsock test', global: true, progress: 'Gathering Winsock information.' },
  { name: 'DNS', title: 'DNS test', global: true, progress: 'Testing DNS...' },
  {
    name: 'Browser',
    title: 'Redir and Browser test',
    global: true,
    progress: 'Testing redirector and browser...',
  },
  { name: 'DsGetDc', title: 'DC discovery test', global: true, progress: 'Testing DC discovery...' },
  {
    name: 'DcList',
    title: 'DC list test',
    global: true,
    progress: 'Gathering the list of Domain Controllers.',
  },
  {
    name: 'Trust',
    title: 'Trust relationship test',
    global: true,
    progress: 'Testing trust relationships...',
  },
  { name: 'Kerberos', title: 'Kerberos test', global: true, progress: 'Testing Kerberos authentication...' },
  { name: 'Ldap', title: 'LDAP test', global: true, progress: 'Testing LDAP servers...' },
  {
    name: 'Route',
    title: 'Routing table test',
    global: true,
    verboseOnly: true,
    progress: 'Gathering routing information.',
  },
  {
    name: 'Netstat',
    title: 'Netstat information test',
    global: true,
    verboseOnly: true,
    progress: 'Gathering network statistics information.',
  },
  {
    name: 'Bindings',
    title: 'Bindings test',
    global: true,
    progress: 'Gathering network bindings information.',
  },
  {
    name: 'WAN',
    title: 'WAN configuration test',
    global: true,
    progress: 'Gathering RAS connection information.',
  },
  { name: 'Modem', title: 'Modem diagnostics test', global: true, progress: 'Gathering Modem information.' },
  {
    name: 'Netware',
    title: 'Netware configuration',
    global: true,
    progress: 'Gathering Netware information.',
  },
  {
    name: 'IPX',
    title: 'IPX test',
    adapterTitle: 'IPX test',
    global: false,
    progress: 'Gathering IPX information.',
  },
  { name: 'IPSec', title: 'IP Security test', global: true, progress: 'Gathering IP Security information.' },
] as const satisfies readonly CatalogueEntry[];

export type TestName = (typeof catalogue)[number]['name'];

/** The rows, widened so that the optional columns can be read of any test. */
export const catalogueEntries: readonly (CatalogueEntry & { readonly name: TestName })[] = catalogue;

/** The test of that name, in any case; `undefined` when there is none. */
export function findTest(name: string): (CatalogueEntry & { readonly name: TestName }) | undefined {
  return catalogueEntries.find(entry => entry.name.toLowerCase() === name.toLowerCase());
}
