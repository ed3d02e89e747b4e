import { execFile } from 'node:child_process';
import { Resolver } from 'node:dns/promises';
import type { Home } from '../../policy/stores/home.js';
import { parseIpAddress } from '../../wire/ip/address.js';
import { readText } from './gather-host.js';
import { gatherIpsec } from './gather-ipsec.js';
import { ping } from './ping.js';
import type { NameServerResult, Probes } from './probes.js';

const dnsPatience = { timeout: 2_000, tries: 1 } as const;

/** Answers that mean the server is there and has no such name. */
const noSuchName = new Set(['ENOTFOUND', 'ENODATA']);

/** The probes of a real run on this host. */
export function systemProbes(home: Home, domain: string | undefined): Probes {
  return {
    ...(domain === undefined ? {} : { domain }),
    ping,
    askNameServer,
    services: async name => {
      try {
        const records = await new Resolver(dnsPatience).resolveSrv(name);
        return records.map(record => record.name);
      } catch {
        return [];
      }
    },
    readText,
    hasKerberosTicket: () =>
      new Promise(resolve =>
        execFile('klist', ['-s'], error => {
          if (error === null) resolve(true);
          else resolve(error.code === 'ENOENT' ? undefined : false);
        }),
      ),
    ipsec: () => gatherIpsec(home),
  };
}

async function askNameServer(server: string, name: string): Promise<NameServerResult> {
  const resolver = new Resolver(dnsPatience);
  resolver.setServers([server]);
  try {
    const addresses = (await resolver.resolve4(name))
      .map(parseIpAddress)
      .filter(address => address !== undefined);
    return { kind: 'found', addresses };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return noSuchName.has(code) ? { kind: 'notFound' } : { kind: 'silent', reason: code };
  }
}
