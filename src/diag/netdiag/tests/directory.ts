/** Tests about the domain and its services. */
import type { Probes } from '../probes.js';
import { parseDefaultRealm } from '../proc-files.js';
import { failed, fatal, line, passed, skipped, type TestOutcome } from '../report.js';

function realmOf(probes: Probes): string | undefined {
  return parseDefaultRealm(probes.readText('/etc/krb5.conf') ?? '');
}

export function memberTest(probes: Probes): TestOutcome {
  const realm = realmOf(probes);
  if (realm === undefined)
    return skipped('This computer is in no domain (no default realm in /etc/krb5.conf).');
  return passed(line(`Kerberos realm : ${realm}`));
}

/** Looks for domain controllers of the realm, or of the domain behind `/d:`. */
export async function dcDiscoveryTest(probes: Probes): Promise<TestOutcome> {
  const domain = probes.domain ?? realmOf(probes)?.toLowerCase();
  if (domain === undefined) return skipped('No domain to look for; /d: names one.');
  const controllers = await probes.services(`_ldap._tcp.dc._msdcs.${domain}`);
  if (controllers.length === 0)
    return failed(fatal(`Cannot find a domain controller of ${domain}. [ERROR_NO_SUCH_DOMAIN]`));
  return passed(line(`Found domain controllers of ${domain}: ${controllers.join(', ')}`, 'verbose'));
}

export async function kerberosTest(probes: Probes): Promise<TestOutcome> {
  const realm = realmOf(probes);
  if (realm === undefined) return skipped('Kerberos is not configured.');
  const ticket = await probes.hasKerberosTicket();
  if (ticket === undefined) return skipped('klist is not installed.');
  return ticket
    ? passed(line(`There is a valid ticket for krbtgt/${realm}.`, 'verbose'))
    : failed(fatal(`Kerberos does not have a ticket for krbtgt/${realm}.`));
}
