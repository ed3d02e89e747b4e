import { Flags } from '@oclif/core';
import { AgentHost } from '../../src/agent/host.js';
import { readSettings } from '../../src/agent/settings.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { chooseDriver, driverFlag } from '../../src/cli/driver.js';
import { KeyFiles } from '../../src/cli/key-files.js';
import { describeEvent } from '../../src/cli/steps.js';
import { vendorProfileFlag } from '../../src/cli/vendor-profile-flag.js';
import type { ExemptionLevel } from '../../src/policy/exemptions.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';

const exemptionLevels: Readonly<Record<string, ExemptionLevel>> = { 0: 0, 1: 1, 2: 2, 3: 3 };

export default class AgentRunCommand extends IpseckitCommand<{ stopped: true }> {
  static override summary = 'run the policy agent in the foreground';
  static override description =
    'Enforces the assigned policy until SIGINT, SIGTERM or "ipseckit agent stop", and prints what it does on stderr. "ipseckit agent start" runs the same in the background.';
  static override flags = {
    driver: driverFlag(),
    verbose: Flags.boolean({ char: 'v', summary: 'also print every IKE message sent and received' }),
    'no-default-exempt': Flags.custom<ExemptionLevel>({
      summary: 'which default exemptions are lifted: 0 none (default), 1 RSVP and Kerberos, 2 groups, 3 all',
      description:
        'IKE always passes the filters. Goes before "noDefaultExempt" in settings.json beside the policies.',
      options: ['0', '1', '2', '3'],
      helpValue: 'N',
      parse: async text => exemptionLevels[text],
    })(),
    'vendor-profile': vendorProfileFlag,
    'export-keys': Flags.directory({
      summary: 'append key material for Wireshark to tables in this folder (mode 0600)',
      description: 'Whoever reads these files can decrypt the traffic. Off unless asked for.',
    }),
  };

  async run(): Promise<{ stopped: true }> {
    const { flags } = await this.parse(AgentRunCommand);
    const keyFiles = flags['export-keys'] === undefined ? undefined : new KeyFiles(flags['export-keys']);
    const home = ipseckitHome();
    const exempt = flags['no-default-exempt'];
    const settings = {
      ...readSettings(home),
      ...(exempt === undefined ? {} : { noDefaultExempt: exempt }),
      ...(flags.driver === undefined ? {} : { driver: flags.driver }),
    };
    const vendorProfile = flags['vendor-profile'] ?? settings.vendorProfile;
    const { driver, reason } = await chooseDriver(settings);
    const host = new AgentHost({
      home,
      settings,
      driver,
      driverReason: reason,
      version: this.config.version,
      ike: {
        exportKeys: keyFiles !== undefined,
        ...(vendorProfile === undefined ? {} : { vendorProfile }),
        ...(settings.saIdleSeconds === undefined ? {} : { idleSeconds: settings.saIdleSeconds }),
      },
      onEvent: event => {
        if (event.kind === 'keys')
          keyFiles?.write(event.keys, error => this.logToStderr(`error: ${error.message}`));
        else if (event.kind !== 'step' || flags.verbose) this.logToStderr(describeEvent(event));
      },
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => host.stop());
    await host.run(() =>
      this.logToStderr(`The policy agent runs (process ${process.pid}, ${driver.name} engine).`),
    );
    return { stopped: true };
  }
}
