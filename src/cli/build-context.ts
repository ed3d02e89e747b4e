import { randomGuid } from '../agent/random-guid.js';
import type { Secret } from '../crypto/secret.js';
import type { BuildContext } from '../policy/build.js';
import { keyFilesIn, namesIn } from '../policy/build.js';
import type { IpsecpolCommand } from '../policy/ipsecpol/command.js';
import type { Guid } from '../policy/model.js';
import { IpseckitError } from '../report/errors.js';
import type { IpAddress } from '../wire/ip/address.js';
import { readSecretFile } from './secret-file.js';

/** Looks up what a command needs: names and key files. Throws `IpseckitError`: NAME_RESOLUTION, ACCESS_DENIED, USAGE. */
export async function buildContextFor(command: IpsecpolCommand): Promise<BuildContext> {
  const lookUps = new LookUps();
  await Promise.all(namesIn(command).map(name => lookUps.resolve(name)));
  for (const path of keyFilesIn(command)) lookUps.readKey(path);
  return lookUps;
}

/** Names and key files looked up, each once: what is not looked up before cannot be used in building. */
export class LookUps implements BuildContext {
  readonly #resolving = new Map<string, Promise<void>>();
  readonly #addresses = new Map<string, readonly IpAddress[]>();
  readonly #keys = new Map<string, Secret<string>>();

  /** Throws `IpseckitError`: NAME_RESOLUTION. */
  resolve(name: string): Promise<void> {
    const started =
      this.#resolving.get(name) ??
      resolve(name).then(addresses => {
        this.#addresses.set(name, addresses);
      });
    this.#resolving.set(name, started);
    return started;
  }

  /** Throws `IpseckitError`: ACCESS_DENIED, USAGE. */
  readKey(path: string): void {
    if (!this.#keys.has(path)) this.#keys.set(path, readSecretFile(path));
  }

  newGuid(): Guid {
    return randomGuid();
  }

  addressesOf(name: string): readonly IpAddress[] {
    return known(this.#addresses, name);
  }

  presharedKey(path: string): Secret<string> {
    return known(this.#keys, path);
  }
}

function known<T>(found: ReadonlyMap<string, T>, name: string): T {
  const value = found.get(name);
  if (value === undefined) throw new Error(`${name} was not looked up`);
  return value;
}

/** The addresses of a name, IPv4 first. */
async function resolve(name: string): Promise<IpAddress[]> {
  // Loaded only when there is a name to resolve.
  const { resolveName } = await import('../agent/resolve-name.js');
  let cause: unknown;
  try {
    const addresses = await resolveName(name);
    if (addresses.length > 0) return [...addresses];
  } catch (error) {
    cause = error;
  }
  throw new IpseckitError('NAME_RESOLUTION', `cannot resolve '${name}' to an address`, {
    next: 'check the name and the resolver (/etc/hosts, /etc/resolv.conf), or write the address',
    ...(cause === undefined ? {} : { cause }),
  });
}
