/** Our agent on one host, pluto on a machine, and a connection between them. */
import type { TunnelDocument } from '../../../src/agent/tunnel.js';
import { Pluto, type PlutoCertificates } from '../../lab/pluto.js';
import { AgentOnHost } from '../../support/agent-host.js';
import {
  insideNetworks,
  type Mode,
  ourAddress,
  ourConnection,
  type PeerHosts,
  psk,
  theirAddress,
} from '../lab.js';
import { type Connection, secure } from '../secure.js';

export interface PlutoLab extends PeerHosts {
  readonly agent: AgentOnHost;
  readonly pluto: Pluto;
}

/** Algorithms as we write them, and as `ipsec.conf` does. */
export interface Suite {
  readonly ours: { readonly ike: string; readonly esp?: string; readonly ah?: string };
  readonly theirs: Readonly<Record<string, string>>;
}

export const suite: Suite = {
  ours: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1' },
  theirs: { ike: 'aes128-sha1-modp2048', esp: 'aes128-sha1' },
};

/** A user of a gateway, with the password in `ipsec.d/passwd`. */
export const user = { name: 'ann', password: 'ann has a password' } as const;
const passwords =
  'ann:$6$ipseckit$CtuI4G6YcW.zFv2LBSJc02eLoJHOBHu/CsdvD3fhyfdaCYvY4UcKfv2e3ZYPXBVQ6rUANguV6zBxnuXwu2LKQ1:peer\n';
const secrets = [ourAddress, '%any'].map(peer => `${theirAddress} ${peer} : PSK "${psk}"\n`).join('');

export async function startLab(hosts: PeerHosts, certificates: PlutoCertificates): Promise<PlutoLab> {
  const agent = await AgentOnHost.start(hosts.ours, { args: ['--verbose'] });
  try {
    const pluto = await Pluto.start({ host: hosts.theirs, secrets, passwords, certificates });
    return { ...hosts, agent, pluto };
  } catch (error) {
    await agent.remove();
    throw error;
  }
}

export async function stopLab(lab: PlutoLab | undefined): Promise<void> {
  await lab?.agent.remove();
  await lab?.pluto.stop();
}

/** Gives pluto its side of the connection; `undefined` takes a setting away. */
export async function configureTheirs(
  { pluto }: Pick<PlutoLab, 'pluto'>,
  mode: Mode,
  { theirs }: Suite = suite,
  extra: Readonly<Record<string, string | undefined>> = {},
): Promise<void> {
  const settings = {
    ...{ ikev2: 'no', authby: 'secret', left: theirAddress, right: ourAddress, type: mode, pfs: 'no' },
    ...(mode === 'tunnel' ? { leftsubnet: insideNetworks.theirs, rightsubnet: insideNetworks.ours } : {}),
    ...theirs,
    ...extra,
  };
  await pluto.load({ name: 'peer', settings });
}

/** Puts our side in force. */
export const secureOurs = (
  { agent }: PlutoLab,
  mode: Mode,
  { ours }: Suite = suite,
  extra?: Partial<Connection>,
) => secure(agent, ourConnection(mode, ours, extra));

/** Our side as a tunnel that is brought up at once. */
export function tunnel(overrides: Partial<TunnelDocument> = {}): Omit<TunnelDocument, 'format' | 'version'> {
  return { name: 'peer', ...ourConnection('tunnel', suite.ours), ...overrides };
}

/** Runs a test; when it fails, its error carries what both daemons said meanwhile. */
export async function withLogs(lab: PlutoLab, run: () => Promise<void>): Promise<void> {
  const before = { agent: lab.agent.log.length, pluto: lab.pluto.log().length };
  try {
    await run();
  } catch (error) {
    await lab.agent.call('tunnelDown', { name: 'peer' }).catch(() => {});
    const told = error instanceof Error ? error : new Error(String(error));
    told.stack = [
      told.stack,
      '--- ipseckit',
      lab.agent.log.slice(before.agent),
      '--- libreswan',
      lab.pluto.log().slice(before.pluto),
    ].join('\n');
    throw told;
  }
}
