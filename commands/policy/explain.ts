import { Args, Flags } from '@oclif/core';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { type CaptureFlows, captureFlows } from '../../src/cli/capture-flows.js';
import { outcomeWord, printExplanation } from '../../src/cli/explain-text.js';
import {
  computerFlags,
  computerOf,
  policyFileFlag,
  readBytes,
  readPolicy,
} from '../../src/cli/policy-source.js';
import { Explainer, type Explanation, filtersOfPolicy } from '../../src/policy/explain.js';
import { parsePacket, printPacket } from '../../src/policy/packet.js';
import { IpseckitError } from '../../src/report/errors.js';
import { Progress } from '../../src/report/progress.js';

type Decision = ReturnType<Explainer['decide']>;

interface ExplainResult {
  readonly packets: readonly Explanation[];
  readonly capture?: Omit<CaptureFlows, 'flows'> & {
    readonly flows: readonly (Decision & { readonly packets: number })[];
  };
}

/** An agent with many filters needs a while to list them. */
const timeoutMs = 60_000;

export default class PolicyExplainCommand extends IpseckitCommand<ExplainResult> {
  static override summary = 'say what happens to a packet, and which policy, rule and filter decide';
  static override description =
    'A packet reads "tcp 192.0.2.1:1025 > 198.51.100.7:80 in"; the direction may be left out when one end is this computer. Without --policy and --file the filters that the running agent enforces are asked.';
  static override strict = false;
  static override args = {
    packet: Args.string({ description: 'a packet, in quotes; there may be several' }),
  };
  static override flags = {
    policy: Flags.string({ summary: 'a stored policy instead of the running agent', helpValue: 'NAME' }),
    file: policyFileFlag,
    from: Flags.string({
      summary: 'explain every flow in this capture (pcap or pcapng)',
      helpValue: 'CAPTURE',
    }),
    ...computerFlags,
  };
  static override examples = [
    '<%= config.bin %> policy explain "tcp 192.0.2.10:1025 > 198.51.100.7:80"',
    '<%= config.bin %> policy explain --policy New --from yesterday.pcap',
  ];

  async run(): Promise<ExplainResult> {
    const { argv, flags } = await this.parse(PolicyExplainCommand);
    const texts = argv.map(String);
    if (texts.length === 0 && flags.from === undefined)
      throw new IpseckitError('USAGE', 'there is no packet to explain', {
        next: 'write one, for example "tcp 192.0.2.1:1025 > 198.51.100.7:80 in", or use --from',
      });
    const { addresses } = computerOf(flags);
    const packets = texts.map(text => parsePacket(text, addresses));
    const flows =
      flags.from === undefined ? undefined : captureFlows(readBytes(flags.from), flags.from, addresses);
    const explainer = await this.#explainer(flags);
    const explanations = packets.map(packet => explainer.explain(packet));
    for (const explanation of explanations) this.print(...printExplanation(explanation));
    if (flows === undefined) return { packets: explanations };
    const progress = new Progress('explaining', flows.flows.length);
    const decided = flows.flows.map(({ packet, packets }) => {
      progress.step();
      return { ...explainer.decide(packet), packets };
    });
    progress.done();
    this.#printFlows(decided, flows);
    return { packets: explanations, capture: { ...flows, flows: decided } };
  }

  async #explainer(
    flags: Parameters<typeof computerOf>[0] & { policy?: string | undefined; file?: string | undefined },
  ) {
    const { addresses, ...computer } = computerOf(flags);
    if (flags.policy !== undefined || flags.file !== undefined) {
      const policy = await readPolicy(flags.policy, flags.file);
      const { inForce, idle } = filtersOfPolicy(policy, computer);
      return new Explainer(inForce, { ...computer, localAddresses: addresses }, idle);
    }
    const filters = await agentCall('filters', {}, { timeoutMs });
    const { noDefaultExempt } = await agentCall('status', {});
    const level = flags['no-default-exempt'] ?? noDefaultExempt;
    return new Explainer(filters, { ...computer, localAddresses: addresses, noDefaultExempt: level });
  }

  #printFlows(
    decided: readonly (Decision & { readonly packets: number })[],
    { passingBy, notIp, fragments }: CaptureFlows,
  ): void {
    if (decided.length > 0)
      this.printTable(
        ['Packets', 'Flow', 'What happens', 'Decided by'],
        decided.map(({ packet, outcome, decidedBy, packets }) => [
          String(packets),
          printPacket(packet),
          outcomeWord(outcome),
          decidedBy === undefined ? '' : `${decidedBy.policy} / ${decidedBy.rule}`,
        ]),
      );
    const left = [
      [passingBy, 'between other computers'],
      [notIp, 'without an IP packet'],
      [fragments, 'later fragments'],
    ] as const;
    const rest = left.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
    this.print(`${decided.length} flows${rest.length === 0 ? '' : `; not explained: ${rest.join(', ')}`}.`);
  }
}
