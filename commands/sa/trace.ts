import { setTimeout as wait } from 'node:timers/promises';
import { Args, Flags } from '@oclif/core';
import type { DropTrace } from '../../src/agent/drop-trace.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { interruption } from '../../src/cli/one-shot.js';
import { readerHasGone } from '../../src/cli/output.js';
import { DropFollower, type NewDrops } from '../../src/cli/trace/follower.js';
import { parseSelection, select, selectsAll } from '../../src/cli/trace/selection.js';
import { dropsText, filterText, packetCount, recordText, traceText } from '../../src/cli/trace/text.js';

const followEveryMs = 500;
/** An agent with many filters needs a while to read their counters. */
const timeoutMs = 60_000;

export default class SaTraceCommand extends IpseckitCommand<DropTrace> {
  static override summary = 'say which packets were dropped, why, and what to do about it';
  static override description =
    'Counts by reason of the whole engine and of each pair of SAs, the last dropped packet of each, and the newest ones: addresses, protocol, ports or SPI and sequence number, length. No payload is kept. Packets that nftables dropped are counted by filter. The kernel as engine (xfrm) only counts; of packets for SPIs that are not there, and of those with a wrong ICV, some are looked at and shown.\n\nWith --follow each packet is shown as it is dropped, at most 20 every half a second; the others are counted. With --json that is one object a line: records, heldBack, forgotten and filters.';
  static override examples = [
    '<%= config.bin %> sa trace',
    '<%= config.bin %> sa trace 0x0badcafe',
    '<%= config.bin %> sa trace --peer 198.51.100.7 --follow',
  ];
  static override args = {
    sa: Args.string({ description: 'only this SA: its SPI, or the id of the pair' }),
  };
  static override flags = {
    peer: Flags.string({
      summary: 'only SAs with this peer, and packets to and from it',
      helpValue: 'ADDRESS',
    }),
    follow: Flags.boolean({ summary: 'go on with each packet that is dropped, until Ctrl-C' }),
  };
  #following = false;

  async run(): Promise<DropTrace> {
    const { args, flags } = await this.parse(SaTraceCommand);
    const selection = parseSelection(args.sa, flags.peer);
    let trace = await agentCall('drops', {}, { timeoutMs });
    if (!flags.follow || !this.jsonEnabled())
      this.print(...traceText(select(trace, selection), selectsAll(selection)));
    if (!flags.follow) return select(trace, selection);
    this.#following = true;
    const interrupted = interruption();
    const follower = new DropFollower(selection, trace);
    // Nobody reads on behind `| head`.
    while (!interrupted.aborted && !readerHasGone()) {
      await wait(followEveryMs, undefined, { signal: interrupted }).catch(() => {});
      trace = await agentCall('drops', {}, { timeoutMs });
      this.#tell(follower.next(trace));
    }
    return select(trace, selection);
  }

  /** What `--follow` said is all there is to say. */
  protected override logJson(json: unknown): void {
    if (!this.#following) super.logJson(json);
  }

  #tell(news: NewDrops): void {
    const { records, heldBack, forgotten, filters } = news;
    const held = dropsText(heldBack);
    if (records.length === 0 && forgotten === 0 && filters.length === 0) return;
    if (this.jsonEnabled()) {
      process.stdout.write(`${JSON.stringify(news)}\n`);
      return;
    }
    this.print(
      ...records.map(recordText),
      ...(held === '' ? [] : [`… and more, held back: ${held}`]),
      ...(forgotten === 0 ? [] : [`… and ${packetCount(forgotten)} of which no more is known`]),
      ...filters.map(
        filter =>
          `${new Date().toISOString()} ${filter.direction} ${filter.reason}: ${packetCount(filter.packets)} by ${filterText(filter)}`,
      ),
    );
  }
}
