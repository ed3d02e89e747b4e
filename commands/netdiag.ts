import { IpseckitCommand } from '../src/cli/base.js';
import { netdiag } from '../src/cli/netdiag.js';
import { netdiagUsage, parseNetdiag } from '../src/diag/netdiag/options.js';
import { exitCodeOf, type NetdiagReport } from '../src/diag/netdiag/report.js';

export default class NetdiagCommand extends IpseckitCommand<NetdiagReport | undefined> {
  static override summary = 'test the network and IPsec of this computer, the Windows 2000 way';
  static override description =
    'Takes the switches of the program netdiag; "ipseckit netdiag /?" lists them. With --json all levels of detail are printed as data.';
  static override examples = ['<%= config.bin %> netdiag /test:ipsec /debug'];
  static override strict = false;

  async run(): Promise<NetdiagReport | undefined> {
    const { argv } = await this.parse(NetdiagCommand);
    const request = parseNetdiag(argv.map(String));
    if (request.kind === 'help') {
      this.print(netdiagUsage());
      return undefined;
    }
    const report = await netdiag(request, text => {
      if (!this.jsonEnabled()) process.stdout.write(text);
    });
    process.exitCode = exitCodeOf(report);
    return report;
  }
}
