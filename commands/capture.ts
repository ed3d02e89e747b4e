import { Flags } from '@oclif/core';
import { watchAgentKeys } from '../src/agent/control/client.js';
import { controlSocketPath } from '../src/agent/paths.js';
import { agentCall } from '../src/cli/agent.js';
import { IpseckitCommand } from '../src/cli/base.js';
import { Capture, type CaptureEnd, type CaptureSummary } from '../src/cli/capture/capture.js';
import { describeCapture, keyWarning } from '../src/cli/capture/capture-text.js';
import type { CaptureFilter } from '../src/cli/capture/recorder.js';
import { capturePaths } from '../src/cli/capture/wireshark-folder.js';
import { aborted, interruption } from '../src/cli/one-shot.js';
import { tunDeviceName } from '../src/driver/userspace/tun.js';
import { ipseckitHome } from '../src/policy/stores/home.js';
import { IpseckitError } from '../src/report/errors.js';
import { type IpAddress, parseIpAddress } from '../src/wire/ip/address.js';

export default class CaptureCommand extends IpseckitCommand<CaptureSummary> {
  static override summary = 'record IKE, ESP and AH together with what is inside and the keys to read it';
  static override description =
    'Writes FILE.pcapng, with the packets on the wire and those inside the protection on interfaces of their own, and the folder FILE.keys, a Wireshark configuration with the keys of every SA of the running agent: those that are up and those negotiated while it records. The files are mode 0600; whoever has both can read the traffic.\n\nOf a main mode that was up before, Wireshark reads the ESP but not the IKE messages: their decryption begins in phase 1. With --no-keys no key leaves the agent, which then need not run.';
  static override examples = [
    '<%= config.bin %> capture -o office',
    '<%= config.bin %> capture -o office --peer 198.51.100.7 --duration 60',
    '<%= config.bin %> capture --no-keys --count 1000',
  ];
  static override flags = {
    output: Flags.string({
      char: 'o',
      summary: 'base name of the files; one with the time when left out',
      helpValue: 'FILE',
    }),
    peer: Flags.string({
      summary: 'only packets to and from this peer, and the traffic protected towards it',
      helpValue: 'ADDRESS',
      exclusive: ['tunnel'],
    }),
    tunnel: Flags.string({ summary: 'only those of this persistent tunnel', helpValue: 'NAME' }),
    interface: Flags.string({
      char: 'i',
      summary: 'only this device on the wire; all but lo when left out',
      helpValue: 'DEVICE',
    }),
    // A timer takes no more.
    duration: Flags.integer({ summary: 'end after so many seconds', min: 1, max: 2_147_483 }),
    count: Flags.integer({ summary: 'end after so many packets', min: 1 }),
    'max-size': Flags.integer({ summary: 'end when the file has so many megabytes', min: 1 }),
    'no-keys': Flags.boolean({ summary: 'write packets only' }),
  };

  async run(): Promise<CaptureSummary> {
    const { flags } = await this.parse(CaptureCommand);
    const paths = capturePaths(flags.output, new Date());
    const withKeys = !flags['no-keys'];
    const interrupted = interruption();
    const peer = await this.#peer(flags);
    const { innerDevice, why } = await inside(withKeys || peer !== undefined);
    const filter: CaptureFilter = {
      ...(flags.interface === undefined ? {} : { device: flags.interface }),
      ...(peer === undefined ? {} : { peer, inner: withKeys ? await protectedTowards(peer) : [] }),
    };
    const capture = new Capture({
      ...{ paths, withKeys, filter, application: `ipseckit ${this.config.version}` },
      ...(innerDevice === undefined ? {} : { innerDevice }),
      ...(flags.count === undefined ? {} : { count: flags.count }),
      ...(flags.duration === undefined ? {} : { durationSeconds: flags.duration }),
      ...(flags['max-size'] === undefined ? {} : { maxBytes: flags['max-size'] * 1_000_000 }),
    });
    let endedBy: CaptureEnd = 'interrupted';
    let summary: CaptureSummary;
    let keys: { close(): void } | undefined;
    try {
      if (withKeys) {
        say(keyWarning(paths));
        keys = await watchAgentKeys(controlSocketPath(ipseckitHome()), {
          onKeys: one => capture.addKeys(one),
          onEnd: () => capture.stop('agent stopped'),
        });
      }
      if (why !== undefined) say(why);
      say(`Recording into ${paths.file}; Ctrl-C ends it.`);
      endedBy = await Promise.race([
        capture.ended,
        aborted(interrupted).then((): CaptureEnd => 'interrupted'),
      ]);
    } finally {
      try {
        summary = await capture.close(endedBy);
      } finally {
        keys?.close();
      }
    }
    this.print(...describeCapture(summary));
    return summary;
  }

  async #peer(flags: {
    peer?: string | undefined;
    tunnel?: string | undefined;
  }): Promise<IpAddress | undefined> {
    if (flags.tunnel !== undefined) {
      const tunnels = await agentCall('tunnelList', {});
      const tunnel = tunnels.find(({ name }) => name === flags.tunnel);
      if (tunnel !== undefined) return tunnel.peer;
      throw new IpseckitError('STORE', `there is no tunnel '${flags.tunnel}'`, {
        next: '"ipseckit tunnel list" shows those there are',
      });
    }
    if (flags.peer === undefined) return undefined;
    const address = parseIpAddress(flags.peer);
    if (address === undefined)
      throw new IpseckitError('USAGE', `--peer: '${flags.peer}' is no IP address`, {
        next: 'write an address',
      });
    return address;
  }
}

/** A warning or a note, with `--json` too. */
function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Where the packets inside can be seen, by the engine of the running agent, or why they cannot. */
async function inside(
  agentMustRun: boolean,
): Promise<{ readonly innerDevice?: string; readonly why?: string }> {
  try {
    const { driver } = await agentCall('status', {});
    if (driver === 'userspace') return { innerDevice: tunDeviceName };
    return {
      why: `The ${driver} engine shows packets inside the protection on no device: only those on the wire are recorded.`,
    };
  } catch (error) {
    const isAbsent = error instanceof IpseckitError && error.code === 'AGENT_UNREACHABLE';
    if (agentMustRun || !isAbsent) throw error;
    return { why: 'No agent runs: only packets on the wire are recorded.' };
  }
}

/** The traffic that the agent protects towards a peer. */
async function protectedTowards(peer: IpAddress) {
  const filters = await agentCall('filters', {}, { timeoutMs: 60_000 });
  return filters.flatMap(({ filter }) => (filter.tunnelEndpoint === peer ? [filter.selector] : []));
}
