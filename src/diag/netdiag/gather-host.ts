/** What netdiag reads about this host: /proc, /sys and the resolver's configuration. */
import { getServers } from 'node:dns';
import { readdirSync, readFileSync } from 'node:fs';
import { arch, hostname, networkInterfaces, release } from 'node:os';
import { parseIpAddress } from '../../wire/ip/address.js';
import type { AdapterFacts, HostFacts } from './host-facts.js';
import { parseDevices, parseOsName, parseProcessorVendor, parseRoutes, type Route } from './proc-files.js';

/** Text of a file; `undefined` when it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

export function gatherHost(): HostFacts {
  const hostName = hostname();
  const routes = parseRoutes(readText('/proc/net/route') ?? '');
  const osName = parseOsName(readText('/etc/os-release') ?? '');
  const vendor = parseProcessorVendor(readText('/proc/cpuinfo') ?? '');
  return {
    header: {
      computerName: (hostName.split('.')[0] ?? hostName).toUpperCase(),
      dnsHostName: hostName,
      systemInfo: `Linux ${release()}${osName === undefined ? '' : ` (${osName})`}`,
      processor: [arch() === 'x64' ? 'x86_64' : arch(), ...(vendor === undefined ? [] : [vendor])].join(', '),
    },
    hostName,
    adapters: gatherAdapters(routes),
    routes,
    dnsServers: getServers(),
  };
}

/** ARPHRD numbers (the file `type` of a device in /sys) that are adapters and not the kernel's own tunnels. */
const adapterKinds: Readonly<Record<string, AdapterFacts['kind']>> = {
  1: 'ethernet',
  32: 'other',
  512: 'ppp',
};

function gatherAdapters(routes: readonly Route[]): AdapterFacts[] {
  const interfaces = networkInterfaces();
  return [...parseDevices(readText('/proc/net/dev') ?? '')].flatMap(([name, { received, sent }]) => {
    const sys = (file: string) => readText(`/sys/class/net/${name}/${file}`)?.trim();
    const isWireguard = sys('uevent')?.includes('DEVTYPE=wireguard') === true;
    const kind = isWireguard ? 'wireguard' : adapterKinds[sys('type') ?? '1'];
    const configured = interfaces[name] ?? [];
    const state = sys('operstate');
    // Pseudo-devices that were never set up would only be noise.
    if (
      name === 'lo' ||
      kind === undefined ||
      (state === 'down' && configured.length === 0 && !sys('device/uevent'))
    )
      return [];
    const mac = sys('address');
    const speed = Number(sys('speed') ?? -1);
    const mtu = Number(sys('mtu') ?? 0);
    return [
      {
        name,
        kind,
        ...(mac === undefined || mac === '' ? {} : { macAddress: mac }),
        ...(state === undefined || state === 'unknown' ? {} : { connected: state === 'up' }),
        ...(speed > 0 ? { speedMbps: speed } : {}),
        ...(mtu > 0 ? { mtu } : {}),
        received,
        sent,
        addresses: configured.flatMap(({ address, cidr }) => {
          const parsed = parseIpAddress(address);
          const prefixLength = Number(cidr?.split('/')[1] ?? Number.NaN);
          return parsed === undefined || Number.isNaN(prefixLength)
            ? []
            : [{ address: parsed, prefixLength }];
        }),
        gateways: routes.flatMap(({ device, gateway, prefixLength }) =>
          device === name && gateway !== undefined && prefixLength === 0 ? [gateway] : [],
        ),
        lower: lowerDevices(name),
      },
    ];
  });
}

function lowerDevices(name: string): string[] {
  try {
    return readdirSync(`/sys/class/net/${name}`)
      .filter(entry => entry.startsWith('lower_'))
      .map(entry => entry.slice('lower_'.length))
      .sort();
  } catch {
    return [];
  }
}
