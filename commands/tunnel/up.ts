import { Args, Flags } from '@oclif/core';
import { watchAgentKeys } from '../../src/agent/control/client.js';
import { NegotiationError } from '../../src/agent/failure.js';
import { describeConfiguration } from '../../src/agent/gateway-client.js';
import { controlSocketPath } from '../../src/agent/paths.js';
import { type AgentSettings, readSettings } from '../../src/agent/settings.js';
import {
  parseTunnel,
  type TunnelDocument,
  type TunnelInfo,
  type TunnelSpec,
} from '../../src/agent/tunnel.js';
import { agentCall } from '../../src/cli/agent.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import type { CaptureEnd, CaptureSummary } from '../../src/cli/capture/capture.js';
import { TunnelCapture } from '../../src/cli/capture/tunnel-capture.js';
import { chooseDriver, driverFlag } from '../../src/cli/driver.js';
import { KeyFiles } from '../../src/cli/key-files.js';
import { aborted, interruption, openOneShot, runCommand } from '../../src/cli/one-shot.js';
import { shellConnection } from '../../src/cli/policy-source.js';
import { describeEvent, describeFailure, describeQuickMode, describeStep } from '../../src/cli/steps.js';
import { aggressiveWarning, tunnelDocument, tunnelFlags } from '../../src/cli/tunnel-flags.js';
import { refuseLockout } from '../../src/cli/tunnel-lockout.js';
import { vendorProfileFlag } from '../../src/cli/vendor-profile-flag.js';
import { askUser } from '../../src/cli/xauth-prompt.js';
import { tunDeviceName } from '../../src/driver/userspace/tun.js';
import type { QuickModeInfo } from '../../src/ike/info.js';
import type { VendorProfile } from '../../src/ike/vendor-profile.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { IpseckitError } from '../../src/report/errors.js';
import { forTerminal } from '../../src/report/terminal.js';
import type { Configuration } from '../../src/wire/isakmp/transaction.js';

type Result = { readonly capture?: CaptureSummary } & (
  | { readonly tunnel: TunnelInfo }
  | {
      readonly quickModes: readonly QuickModeInfo[];
      readonly configuration?: Configuration;
      readonly commandStatus?: number;
    }
);

/** The agent's own end of patience comes first, with what it knows. */
const agentAnswerMs = 5_000;

export default class TunnelUpCommand extends IpseckitCommand<Result> {
  static override summary = 'bring up a connection to a gateway right now, without daemon or stored policy';
  static override description =
    `Brings the connection up and shows each step on stderr. With COMMAND it runs it while the connection is up and exits with its exit code; otherwise it stays until Ctrl-C. Then the SAs are deleted at the peer and nothing is left behind.

Without --local-net and --remote-net the traffic between this host and the peer is secured (transport mode). With --persist the running agent keeps the connection instead.`;
  static override examples = [
    '<%= config.bin %> tunnel up 198.51.100.7 --psk-file key --remote-net 10.2.0.0/16',
    '<%= config.bin %> tunnel up 198.51.100.7 --psk-file key --ike 3des-sha1-modp1024 --esp 3des-sha1 -- ssh 198.51.100.7',
    '<%= config.bin %> tunnel up 198.51.100.7 --psk-file key --protocol tcp --remote-port 445 --persist files',
    '<%= config.bin %> tunnel up vpn.example.com --psk-file key --xauth-user ann --mode-config pull',
    '<%= config.bin %> tunnel up vpn.example.com --psk-file key --mode-config pull --remote-net 0.0.0.0/0 --exclude-net 192.168.1.0/24',
    '<%= config.bin %> tunnel up 198.51.100.7 --psk-file key --capture failing',
    '<%= config.bin %> tunnel up 198.51.100.7 --cert host.p12 --ca root.pem --remote-net 10.2.0.0/16',
  ];
  static override usage = 'tunnel up PEER [--psk-file FILE] [--cert FILE] [FLAGS] [-- COMMAND …]';
  static override args = {
    peer: Args.string({ required: true, description: 'address or name of the gateway or host' }),
  };
  static override flags = {
    ...tunnelFlags,
    timeout: Flags.integer({ summary: 'seconds to wait for the connection', default: 65, min: 1, max: 3600 }),
    persist: Flags.string({
      summary: 'hand the connection to the running agent under this name',
      helpValue: 'NAME',
    }),
    driver: driverFlag({ exclusive: ['persist'] }),
    quiet: Flags.boolean({ char: 'q', summary: 'do not show the steps' }),
    'export-keys': Flags.directory({
      summary: 'append key material for Wireshark to tables in this folder (mode 0600)',
      exclusive: ['persist'],
    }),
    capture: Flags.string({
      summary:
        'record the negotiation and what follows, with keys, into FILE.pcapng and FILE.keys, as "ipseckit capture" does but from the first message on; with --persist until the tunnel is up',
      helpValue: 'FILE',
    }),
    'vendor-profile': vendorProfileFlag,
  };

  async run(): Promise<Result> {
    const separator = this.argv.indexOf('--');
    const command = separator < 0 ? [] : this.argv.slice(separator + 1);
    const own = separator < 0 ? this.argv : this.argv.slice(0, separator);
    const { args, flags } = await this.parse(TunnelUpCommand, own);
    if (flags.persist !== undefined && command.length > 0)
      throw new IpseckitError('CONFLICT', '--persist keeps the connection; it cannot run a command as well');
    if (flags.persist !== undefined && flags['vendor-profile'] !== undefined)
      throw new IpseckitError('CONFLICT', '--persist: the vendor profile is that of the running agent', {
        next: 'leave --vendor-profile out, and set it for "agent run" or in settings.json',
      });
    const document = await tunnelDocument(flags.persist ?? args.peer, args.peer, flags);
    const spec = parseTunnel(document);
    refuseLockout(spec, shellConnection(process.env.SSH_CONNECTION));
    const show = (text: string) => {
      if (!flags.quiet) process.stderr.write(`${forTerminal(text)}\n`);
    };
    if (spec.aggressive) process.stderr.write(`${aggressiveWarning(spec)}\n`);
    const capture =
      flags.capture === undefined
        ? undefined
        : new TunnelCapture(flags.capture, spec.peer, `ipseckit ${this.config.version}`);
    let endedBy: CaptureEnd = 'tunnel not up';
    let summary: CaptureSummary | undefined;
    let result: Result;
    try {
      if (flags.persist === undefined) {
        const up = () => {
          endedBy = 'tunnel down';
        };
        result = await this.#oneShot(spec, flags, command, { show, capture, up });
      } else {
        result = await this.#persist(document, flags.timeout * 1000, show, capture);
        endedBy = 'tunnel up';
      }
    } catch (error) {
      if (error instanceof NegotiationError) for (const line of describeFailure(error.failure)) show(line);
      throw error;
    } finally {
      summary = await capture?.end(endedBy);
    }
    return summary === undefined ? result : { ...result, capture: summary };
  }

  /** Hands the tunnel to the running agent. What is captured ends when it is up. */
  async #persist(
    document: TunnelDocument,
    timeoutMs: number,
    show: (text: string) => void,
    capture: TunnelCapture | undefined,
  ): Promise<Result> {
    const keys = capture && (await captureAgent(capture));
    try {
      const onStep = (step: Parameters<typeof describeStep>[0]) => show(describeStep(step));
      const tunnel = await agentCall(
        'tunnelUp',
        { tunnel: document, timeoutMs },
        { timeoutMs: timeoutMs + agentAnswerMs, onStep, onPrompt: askUser },
      );
      this.print(
        `Tunnel '${tunnel.name}' is up: ${tunnel.local} - ${tunnel.peer}, ${tunnel.mode} mode, ${tunnel.traffic}`,
      );
      if (tunnel.configuration !== undefined)
        this.print(`The gateway gave us ${describeConfiguration(tunnel.configuration)}.`);
      return { tunnel };
    } finally {
      keys?.close();
    }
  }

  /** Brings the tunnel up in this process, and takes it down when the command, or the user, is done. */
  async #oneShot(
    spec: TunnelSpec,
    flags: OneShotFlags,
    command: readonly string[],
    { show, capture, up }: { show(text: string): void; capture: TunnelCapture | undefined; up(): void },
  ): Promise<Result> {
    const keyFiles = flags['export-keys'] === undefined ? undefined : new KeyFiles(flags['export-keys']);
    const interrupted = interruption();
    const settings = readSettings(ipseckitHome());
    const vendorProfile = flags['vendor-profile'] ?? settings.vendorProfile;
    const engine = flags.driver ?? settings.driver;
    const { driver, reason } = await chooseDriver(engine === undefined ? {} : { driver: engine });
    show(`engine: ${driver.name} (${reason})`);
    const tunnel = await openOneShot(spec, {
      driver,
      prompt: askUser,
      patience: { timeoutMs: flags.timeout * 1000, interrupted },
      ike: {
        exportKeys: keyFiles !== undefined || capture !== undefined,
        ...(vendorProfile === undefined ? {} : { vendorProfile }),
      },
      onEvent: event => {
        if (event.kind === 'step') show(describeStep(event.step));
        if (event.kind === 'reconfigured') show(describeEvent(event));
        if (event.kind === 'error') show(`error: ${event.error.message}`);
        if (event.kind === 'keys') {
          keyFiles?.write(event.keys, error => show(`error: ${error.message}`));
          capture?.addKeys(event.keys);
        }
      },
      onStarted: () => {
        if (driver.name === 'userspace') capture?.watchInner(tunDeviceName);
      },
    });
    up();
    const { configuration } = tunnel;
    const given = configuration === undefined ? {} : { configuration };
    if (configuration !== undefined) show(`assigned: ${describeConfiguration(configuration)}`);
    if (configuration?.banner !== undefined) show(configuration.banner);
    for (const quickMode of tunnel.quickModes) show(`up: ${describeQuickMode(quickMode)}`);
    try {
      if (command.length === 0) {
        show('Ctrl-C takes it down.');
        await aborted(interrupted);
        return { quickModes: tunnel.quickModes, ...given };
      }
      const commandStatus = await runCommand(command);
      process.exitCode = commandStatus;
      return { quickModes: tunnel.quickModes, ...given, commandStatus };
    } finally {
      await tunnel.close();
      show('down: the SAs are deleted at the peer.');
    }
  }
}

interface OneShotFlags {
  readonly timeout: number;
  readonly driver?: AgentSettings['driver'];
  readonly 'export-keys'?: string | undefined;
  readonly 'vendor-profile'?: VendorProfile | undefined;
}

/** Has the keys of the running agent, and what its engine shows in clear, recorded. */
async function captureAgent(capture: TunnelCapture): Promise<{ close(): void }> {
  const { driver } = await agentCall('status', {});
  if (driver === 'userspace') capture.watchInner(tunDeviceName);
  return watchAgentKeys(controlSocketPath(ipseckitHome()), {
    onKeys: keys => capture.addKeys(keys),
    onEnd: () => {},
  });
}
