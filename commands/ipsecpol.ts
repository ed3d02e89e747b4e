import { IpseckitCommand } from '../src/cli/base.js';
import { type IpsecpolResult, runIpsecpol } from '../src/cli/ipsecpol.js';

export default class IpsecpolCommand extends IpseckitCommand<IpsecpolResult> {
  static override summary = 'the Windows 2000 command line: build policies, add dynamic rules';
  static override description =
    'Takes the arguments of the program ipsecpol. "ipseckit ipsecpol -?" lists them.';
  static override examples = [
    "<%= config.bin %> ipsecpol -w REG -p Lab -r Peer -f '0+192.0.2.20' -a PRESHARE-FILE:/root/key -x",
    "<%= config.bin %> ipsecpol --json -f '[*=0:1434:UDP]'",
  ];
  static override strict = false;

  async run(): Promise<IpsecpolResult> {
    const result = await runIpsecpol(oldWords(this.argv));
    for (const note of result.notes) this.logToStderr(note);
    this.print(result.text);
    return result;
  }
}

/** Their flags are not ours to read: all that follows a double dash, or all but `--json`. */
function oldWords(argv: readonly string[]): readonly string[] {
  const separator = argv.indexOf('--');
  return separator < 0 ? argv.filter(word => word !== '--json') : argv.slice(separator + 1);
}
