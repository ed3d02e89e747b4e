import { type Flag, flag, flagNames } from './flags.js';
import { algorithmNames } from './security-method.js';

const modes: readonly (readonly [Flag['mode'], string])[] = [
  ['both', 'both modes  '],
  ['dynamic', 'dynamic only'],
  ['static', 'static only '],
];

/** What `ipsecpol` without arguments prints. */
export function shortUsage(): string {
  const synopsis = modes.map(([mode, title]) => {
    const words = flagNames
      .filter(name => flag(name).mode === mode && name !== '-?')
      .map(name => {
        const { value } = flag(name);
        return value === undefined ? `[${name}]` : `[${name} ${value.name}]`;
      });
    return wrap(`${title}: `, words);
  });
  return [
    'usage: ipsecpol [\\\\computername] [-?] [flags]',
    '',
    ...synopsis,
    '',
    'ipsecpol -? says more.',
  ].join('\n');
}

/** What `ipsecpol -?` prints. */
export function extendedUsage(): string {
  const lines = flagNames.flatMap(name => {
    const { value, help } = flag(name);
    const head = `  ${value === undefined ? name : `${name} ${value.name}`}`;
    return [head, wrap('      ', help.split(' '))];
  });
  return `${[
    shortUsage().split('\n').slice(0, -1).join('\n'),
    ...lines,
    '',
    'Without -w a rule is dynamic: the running policy agent enforces it until it stops.',
    'With -w it is stored in policy -p, and in force once the policy is assigned (-x).',
    '',
    'filter specs',
    wrap('  ', '0 is this computer, * any address, 192.0.2.* a subnet, and names are resolved.'.split(' ')),
    wrap('  ', 'IPv6 addresses stand in angle brackets: <2001:db8::1>, <2001:db8::>/32.'.split(' ')),
    wrap('  ', '= filters one direction, + both. A protocol follows a port or ::'.split(' ')),
    wrap('  ', '(spec) permits, [spec] blocks, whatever -n says. Quote specs for the shell.'.split(' ')),
    '  0+192.0.2.20   0:80+*::TCP   *=0:1434:UDP   [0+*]',
    '',
    'algorithms (ipsecpol of Windows 2000 knows DES, 3DES, MD5, SHA, and groups 1 and 2)',
    wrap('  ESP     ', [...algorithmNames.esp, 'NONE']),
    wrap('  IKE     ', algorithmNames.ike),
    wrap('  hash    ', algorithmNames.hash),
    wrap('  group   ', algorithmNames.group),
    '  limits and PFS follow without a blank: ESP[3DES,SHA]3600S/100000KPFS2',
    '',
    wrap(
      '',
      'A key behind PRESHARE: shows in the process list while the command runs; PRESHARE-FILE:path reads it from the first line of a file.'.split(
        ' ',
      ),
    ),
    '',
    'example',
    "  ipsecpol -w REG -p Lab -r Peer -f '0+192.0.2.20' -n 'ESP[3DES,SHA]' -a PRESHARE-FILE:/root/key -x",
  ].join('\n')}`;
}

/** Words behind a head, wrapped at 78 columns, further lines aligned under the first word. */
function wrap(head: string, words: readonly string[]): string {
  const lines: string[] = [];
  let line = head;
  let empty = true;
  for (const word of words) {
    if (!empty && line.length + 1 + word.length > 78) {
      lines.push(line);
      line = ' '.repeat(head.length);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line].join('\n');
}
