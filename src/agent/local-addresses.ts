import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { LocalAddress } from '../policy/expand.js';
import { IpseckitError } from '../report/errors.js';
import { type IpAddress, parseIpAddress } from '../wire/ip/address.js';

/** Adapters of dial-up connections, as Linux names them. */
const dialupAdapter = /^(ppp|wwan|rmnet)/;

/** This host's IPv4 addresses, loopback excluded, sorted so that two calls compare. */
export function localAddresses(): LocalAddress[] {
  return Object.entries(networkInterfaces())
    .flatMap(([adapter, entries]) => (entries ?? []).map(entry => ({ adapter, ...entry })))
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .flatMap(({ adapter, address: text }): LocalAddress[] => {
      const address = parseIpAddress(text);
      return address ? [{ address, connectionType: dialupAdapter.test(adapter) ? 'dialup' : 'lan' }] : [];
    })
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** The address the kernel would send from to reach `peer`. Throws `IpseckitError` (ENVIRONMENT) without a route. */
export function localAddressTowards(peer: IpAddress): Promise<IpAddress> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      probe.close();
      reject(
        new IpseckitError('ENVIRONMENT', `no route to ${peer}: ${error.message}`, {
          next: 'check the address, and "ip route get" towards it',
          cause: error,
        }),
      );
    };
    const probe = createSocket('udp4');
    probe.once('error', fail);
    // Connecting a datagram socket sends nothing; it makes the kernel choose the source address.
    probe.connect(9, peer, () => {
      const own = parseIpAddress(probe.address().address);
      if (own === undefined) return fail(new Error('the kernel named no source address'));
      probe.close();
      resolve(own);
    });
  });
}
