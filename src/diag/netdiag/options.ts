import { IpseckitError } from '../../report/errors.js';
import { catalogueEntries, findTest, type TestName } from './catalogue.js';

/** How much is printed: each level contains the one before, `quiet` only what has trouble. */
export type Level = 'quiet' | 'normal' | 'verbose' | 'debug';

export interface NetdiagOptions {
  readonly level: Level;
  /** `/l`: also write `NetDiag.log` in the current folder. */
  readonly log: boolean;
  /** `/d:`. */
  readonly domain?: string;
  readonly fix: boolean;
  readonly dcAccountEnum: boolean;
  /** Which tests run, in catalogue order. */
  readonly tests: readonly TestName[];
}

export type NetdiagRequest = { readonly kind: 'help' } | ({ readonly kind: 'run' } & NetdiagOptions);

const switches = [
  ['/q', 'quiet: only tests with trouble'],
  ['/v', 'verbose'],
  ['/debug', 'even more: filters, SAs, statistics'],
  ['/l', 'also write NetDiag.log in the current folder'],
  ['/d:DomainName', 'find a domain controller of that domain'],
  ['/fix', 'repair minor problems (there are none of that kind here)'],
  ['/DcAccountEnum', 'list domain controller accounts (there are none here)'],
  ['/test:TestName', 'only this test and those that cannot be skipped; may be repeated'],
  ['/skip:TestName', 'leave this test out; may be repeated'],
  ['/?', 'this text'],
] as const;

/**
 * Parses netdiag's switches, in any case, behind `/` or `-`. Throws `IpseckitError` (USAGE) that names the switch;
 * netdiag exits with 2 then.
 */
export function parseNetdiag(argv: readonly string[]): NetdiagRequest {
  const given = new Set<string>();
  const only = new Set<TestName>();
  const skipped = new Set<TestName>();
  let domain: string | undefined;
  for (const word of argv) {
    const [, name = '', value] = /^(?:\/|--?)([^:]*)(?::(.*))?$/s.exec(word) ?? [];
    const lower = name.toLowerCase();
    if (lower === '?' || word.toLowerCase() === '--help') return { kind: 'help' };
    if (lower === 'test') for (const test of testNames(word, value)) only.add(test);
    else if (lower === 'skip') for (const test of testNames(word, value)) skipped.add(test);
    else if (lower === 'd' && value) domain = value;
    else if (['q', 'v', 'debug', 'l', 'fix', 'dcaccountenum'].includes(lower) && value === undefined)
      given.add(lower);
    else throw usage(`unknown switch '${printable(word)}'`);
  }
  if (given.has('q') && (given.has('v') || given.has('debug')))
    throw usage('/q and /v or /debug exclude each other');
  for (const name of skipped) {
    if (findTest(name)?.mandatory) throw usage(`the test ${name} cannot be skipped`);
    if (only.has(name)) throw usage(`/test:${name} and /skip:${name} exclude each other`);
  }
  return {
    kind: 'run',
    level: given.has('debug') ? 'debug' : given.has('v') ? 'verbose' : given.has('q') ? 'quiet' : 'normal',
    log: given.has('l'),
    ...(domain === undefined ? {} : { domain }),
    fix: given.has('fix'),
    dcAccountEnum: given.has('dcaccountenum'),
    tests: catalogueEntries
      .filter(
        ({ name, mandatory }) => mandatory || ((only.size === 0 || only.has(name)) && !skipped.has(name)),
      )
      .map(({ name }) => name),
  };
}

/** What `netdiag /?` prints. */
export function netdiagUsage(): string {
  return [
    'usage: netdiag [/q] [/v] [/l] [/debug] [/d:DomainName] [/fix] [/DcAccountEnum]',
    '               [/test:TestName] [/skip:TestName] [/?]',
    '',
    ...switches.map(([name, text]) => `  ${name.padEnd(16)}${text}`),
    '',
    'Tests, in the order they run (* cannot be skipped):',
    ...catalogueEntries.map(
      ({ name, title, mandatory }) => `  ${name.padEnd(16)}${title}${mandatory ? ' *' : ''}`,
    ),
    '',
    'Exit code 0: every test passed or was skipped. 1: at least one failed. 2: wrong usage.',
  ].join('\n');
}

function testNames(word: string, value: string | undefined): TestName[] {
  return (value ?? '').split(',').map(name => {
    const entry = findTest(name);
    if (entry === undefined) throw usage(`no test '${printable(name)}' (${printable(word)})`);
    return entry.name;
  });
}

function usage(problem: string): IpseckitError {
  return new IpseckitError('USAGE', problem, { next: 'run "netdiag /?" for the switches and tests' });
}

function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}]/gu, '?').slice(0, 60);
}
