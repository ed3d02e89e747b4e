/** Our agent on one host, strongSwan on another, and a connection between them. */
import type { LabHost } from '../lab/lab-host.js';
import { Charon, type EspEngine, type PeerConnection } from '../lab/strongswan.js';
import { AgentOnHost } from '../support/agent-host.js';
import { createPair, type Host } from '../support/namespaces.js';
import { type Connection, secure } from './secure.js';

/** Addresses of the two hosts, and of one in a network behind each. */
export const ourAddress = '10.66.0.1';
export const theirAddress = '10.66.0.2';
const ourInside = '10.1.0.1';
const theirInside = '10.2.0.1';
/** The same for IPv6. */
export const ourAddress6 = 'fd66::1';
export const theirAddress6 = 'fd66::2';
const ourInside6 = 'fd71::1';
const theirInside6 = 'fd72::1';
export const insideNetworks6 = { ours: 'fd71::/64', theirs: 'fd72::/64' } as const;
export const insideNetworks = { ours: '10.1.0.0/24', theirs: '10.2.0.0/24' } as const;

export const psk = 'a preshared key';

export interface PeerHosts {
  readonly ours: Host;
  readonly theirs: LabHost;
}

export interface PeerLab extends PeerHosts {
  readonly agent: AgentOnHost;
  readonly charon: Charon;
}

/** Algorithms as strongSwan and we both write them. */
export interface Suite {
  readonly ike: string;
  /** With `-modpN` at the end: PFS. */
  readonly esp?: string;
  readonly ah?: string;
}

export type Mode = 'transport' | 'tunnel';

/** Gives both hosts an address in a network of their own, for tunnels. */
export function addInsides({ ours, theirs }: PeerHosts): void {
  for (const address of [`${ourInside}/24`, `${ourInside6}/64`])
    ours.run('ip', 'address', 'add', address, 'dev', 'lo');
  for (const address of [`${theirInside}/24`, `${theirInside6}/64`])
    theirs.run('ip', 'address', 'add', address, 'dev', 'lo');
}

export async function startLab(
  hosts: PeerHosts,
  options: {
    readonly esp: EspEngine;
    readonly agentArgs?: readonly string[];
    readonly engine?: 'userspace' | 'xfrm';
    /** More lines for strongSwan's own configuration. */
    readonly charonSettings?: string;
  },
): Promise<PeerLab> {
  const agent = await AgentOnHost.start(hosts.ours, {
    args: ['--verbose', ...(options.agentArgs ?? [])],
    ...(options.engine === undefined ? {} : { engine: options.engine }),
  });
  try {
    const settings = options.charonSettings === undefined ? {} : { settings: options.charonSettings };
    return {
      ...hosts,
      agent,
      charon: await Charon.start({ host: hosts.theirs, esp: options.esp, ...settings }),
    };
  } catch (error) {
    await agent.remove();
    throw error;
  }
}

export async function stopLab(lab: PeerLab | undefined): Promise<void> {
  await lab?.agent.remove();
  await lab?.charon.stop();
}

/** A lab whose hosts were made for it. `stop` takes everything away. */
export interface OwnLab extends PeerLab {
  readonly theirs: Host;
  stop(): Promise<void>;
}

/** Addresses with prefix lengths; those of this module unless said otherwise. strongSwan does ESP itself unless told. */
export async function makeLab(options: {
  readonly prefix: string;
  readonly ours?: readonly string[];
  readonly theirs?: readonly string[];
  readonly esp?: EspEngine;
  readonly engine?: 'userspace' | 'xfrm';
  readonly charonSettings?: string;
}): Promise<OwnLab> {
  const { prefix, ours = [`${ourAddress}/24`], theirs = [`${theirAddress}/24`], ...rest } = options;
  const hosts = await createPair({ prefix, a: ours, b: theirs });
  try {
    const lab = await startLab({ ours: hosts.a, theirs: hosts.b }, { esp: 'kernel-libipsec', ...rest });
    return {
      ...lab,
      theirs: hosts.b,
      stop: async () => {
        await stopLab(lab);
        await hosts.destroy();
      },
    };
  } catch (error) {
    await hosts.destroy();
    throw error;
  }
}

/** The same connection for both sides, with what each of them wants different. */
export async function configure(
  lab: PeerLab,
  mode: Mode,
  suite: Suite,
  extra: { readonly ours?: Partial<Connection>; readonly theirs?: Partial<PeerConnection> } = {},
): Promise<void> {
  await configureTheirs(lab, mode, suite, extra.theirs);
  await secure(lab.agent, ourConnection(mode, suite, extra.ours));
}

export async function configureTheirs(
  { charon }: Pick<PeerLab, 'charon'>,
  mode: Mode,
  { ike, esp, ah }: Suite,
  extra: Partial<PeerConnection> = {},
): Promise<void> {
  const { ours, theirs } = insideNetworks;
  await charon.load({
    ...{ name: 'peer', local: theirAddress, remote: ourAddress, psk, mode, ike: [ike] },
    ...(esp === undefined ? {} : { esp: [esp] }),
    ...(ah === undefined ? {} : { ah: [ah] }),
    ...(mode === 'tunnel' ? { localSelector: theirs, remoteSelector: ours } : {}),
    ...extra,
  });
}

/** Our side of the connection. */
export function ourConnection(
  mode: Mode,
  { ike, esp, ah }: Suite,
  extra: Partial<Connection> = {},
): Connection {
  const { ours, theirs } = insideNetworks;
  return {
    ...{ local: ourAddress, peer: theirAddress, presharedKey: psk, ike },
    ...(esp === undefined ? {} : { esp }),
    ...(ah === undefined ? {} : { ah }),
    ...(mode === 'tunnel' ? { localNetworks: [ours], remoteNetworks: [theirs] } : {}),
    ...extra,
  };
}

/** The address that traffic to one side of a connection goes to. */
export function target(side: 'ours' | 'theirs', mode: Mode, family: 4 | 6 = 4): string {
  if (family === 6) {
    if (mode === 'transport') return side === 'ours' ? ourAddress6 : theirAddress6;
    return side === 'ours' ? ourInside6 : theirInside6;
  }
  if (mode === 'transport') return side === 'ours' ? ourAddress : theirAddress;
  return side === 'ours' ? ourInside : theirInside;
}

/**
 * Runs a test; when it fails, its error carries what both daemons said meanwhile, and its tunnels, which would spoil the
 * next test, are taken down.
 */
export async function withLogs(
  lab: Pick<PeerLab, 'agent' | 'charon'>,
  run: () => Promise<void>,
): Promise<void> {
  const before = { agent: lab.agent.log.length, charon: lab.charon.log().length };
  try {
    await run();
  } catch (error) {
    const told = error instanceof Error ? error : new Error(String(error));
    told.stack = [
      told.stack,
      '--- ipseckit',
      lab.agent.log.slice(before.agent),
      '--- strongSwan',
      lab.charon.log().slice(before.charon),
    ].join('\n');
    for (const { name } of await lab.agent.call('tunnelList', {}).catch(() => []))
      await lab.agent.call('tunnelDown', { name }).catch(() => {});
    throw told;
  }
}
