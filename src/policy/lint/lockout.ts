/** Policies that cut off the remote shell somebody types in. */
import { exemptionOf } from '../exemptions.js';
import { packetWords } from '../filter-index.js';
import { finding } from '../findings.js';
import type { Packet } from '../packet.js';
import { type Check, type LintInput, placeOf, type ShellConnection } from './check.js';

export const lockoutCheck: Check = {
  name: 'lockout',
  run(input) {
    const { shell } = input.context;
    if (shell === undefined) return [];
    const decided = packetsOf(shell).flatMap(packet => {
      const decider = deciderOf(input, packet);
      return decider === undefined ? [] : [{ packet, ...decider }];
    });
    const from = `the shell from ${shell.client} (port ${shell.serverPort} here)`;
    const blocked = decided.find(({ filter }) => filter.action === 'block');
    if (blocked !== undefined)
      return [
        finding(
          'lockout-blocked',
          placeOf(input.named(blocked.rule), blocked.origin),
          `this blocks ${from}`,
          `add a rule that permits it first: -f 0:${shell.serverPort}+${shell.client}::TCP -n PASS`,
          blocked.packet,
        ),
      ];
    const secured = decided.find(({ filter }) => filter.action === 'secure');
    if (secured === undefined) return [];
    return [
      finding(
        'lockout-secured',
        placeOf(input.named(secured.rule), secured.origin),
        `${from} goes on only once ${shell.client} has negotiated`,
        'make sure that its policy fits ("ipseckit tunnel up" tries it), or permit the shell meanwhile',
        secured.packet,
      ),
    ];
  },
};

function deciderOf({ context, traffic }: LintInput, packet: Packet) {
  const localAddresses = context.localAddresses.map(({ address }) => address);
  if (exemptionOf(packet, { ...context, localAddresses })) return undefined;
  const { index, expansion } = traffic();
  const own = packet.direction === 'outbound' ? packet.source : packet.destination;
  const { connectionType = 'lan' } = context.localAddresses.find(({ address }) => address === own) ?? {};
  const place = index.match(packetWords(packet), candidate => {
    const wanted = expansion.filters[candidate]?.filter.connectionType;
    return wanted !== undefined && wanted !== connectionType;
  });
  return place === undefined ? undefined : expansion.filters[place];
}

function packetsOf({ client, clientPort, server, serverPort }: ShellConnection): readonly Packet[] {
  return [
    {
      direction: 'inbound',
      source: client,
      destination: server,
      protocol: 6,
      sourcePort: clientPort,
      destinationPort: serverPort,
    },
    {
      direction: 'outbound',
      source: server,
      destination: client,
      protocol: 6,
      sourcePort: serverPort,
      destinationPort: clientPort,
    },
  ];
}
