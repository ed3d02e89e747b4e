import type { Associations } from '../../src/agent/control/protocol.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { dropsText, spisText, translatedPortText } from '../../src/cli/trace/text.js';
import { printIkeProposal, printSecurityMethod } from '../../src/policy/proposals.js';
import { printSelector } from '../../src/wire/ip/selector.js';

const spis = (halves: readonly { readonly spi: number }[]) => spisText(halves.map(({ spi }) => spi));

export default class SaListCommand extends IpseckitCommand<Associations> {
  static override summary = 'list main mode, quick mode and soft SAs with what they carried';

  async run(): Promise<Associations> {
    await this.parse(SaListCommand);
    const associations = await agentCall('associations', {});
    const nowMs = Date.now();
    const left = (expiresAtMs: number | undefined) =>
      expiresAtMs === undefined ? '' : `${Math.max(0, Math.round((expiresAtMs - nowMs) / 1000))} s`;
    this.print(`There are ${associations.mainModes.length} main mode SAs`);
    if (associations.mainModes.length > 0)
      this.printTable(
        ['Local', 'Peer', 'State', 'Role', 'Method', 'Peer identity', 'NAT', 'Quick modes', 'Expires'],
        associations.mainModes.map(sa => [
          `${sa.local}:${sa.localPort}`,
          `${sa.peer}:${sa.peerPort}`,
          sa.state,
          sa.role,
          sa.method === undefined ? '' : printIkeProposal(sa.method),
          sa.peerIdentity ?? '',
          [sa.natDetected.local ? 'here' : '', sa.natDetected.peer ? 'peer' : ''].filter(Boolean).join('+') ||
            'no',
          `${sa.quickModes}`,
          left(sa.expiresAtMs),
        ]),
      );
    this.print('', `There are ${associations.quickModes.length} quick mode SAs`);
    if (associations.quickModes.length > 0)
      this.printTable(
        ['Traffic', 'Peer', 'Mode', 'Method', 'SPI in', 'SPI out', 'Bytes in', 'Bytes out', 'Expires'],
        associations.quickModes.map(sa => {
          const carried = associations.pairs.find(({ pairId }) => pairId === sa.pair.id);
          return [
            printSelector(sa.pair.selector),
            sa.pair.peer,
            sa.pair.udpEncapsulation === undefined ? sa.pair.mode : `${sa.pair.mode} in UDP`,
            printSecurityMethod(sa.method),
            spis(sa.inbound),
            spis(sa.outbound),
            `${carried?.bytesReceived ?? 0}`,
            `${carried?.bytesSent ?? 0}`,
            left(sa.expiresAtMs),
          ];
        }),
      );
    for (const sa of associations.quickModes) {
      const {
        drops = {},
        lastNote,
        translatedPorts = [],
      } = associations.pairs.find(({ pairId }) => pairId === sa.pair.id) ?? {};
      const dropped = dropsText(drops);
      const parts = [
        ...(dropped === '' ? [] : [`dropped ${dropped}`]),
        ...(lastNote ? [lastNote] : []),
        ...translatedPorts.map(translatedPortText),
      ];
      if (parts.length > 0) this.print(`  ${spis(sa.inbound)} from ${sa.pair.peer}: ${parts.join('; ')}`);
    }
    const { softAssociations } = associations;
    if (softAssociations.length > 0) {
      this.print('', `There are ${softAssociations.length} soft SAs: their traffic passes in clear`);
      this.printTable(
        ['Traffic', 'Peer', 'Packets in', 'Packets out', 'Last used', 'Ends when idle for'],
        softAssociations.map(sa => [
          printSelector(sa.selector),
          sa.peer,
          `${sa.packetsReceived}`,
          `${sa.packetsSent}`,
          `${Math.max(0, Math.round((nowMs - sa.lastUsedAtMs) / 1000))} s ago`,
          `${sa.idleSeconds} s`,
        ]),
      );
    }
    return associations;
  }
}
