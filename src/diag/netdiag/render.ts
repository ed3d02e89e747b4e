/** The report as text, in the layout of `netdiag.md` 3. Pure. */
import { leader } from '../../report/leader.js';
import { catalogueEntries, type TestName } from './catalogue.js';
import type { Level } from './options.js';
import type { AdapterOutcome, Detail, NetdiagReport, ReportHeader, TestReport } from './report.js';

const globalWidth = 34;
const adapterWidth = 26;
/** The one adapter line that is longer. */
const autoConfigurationWidth = 36;

const ranks: Record<Level, number> = { quiet: 0, normal: 0, verbose: 1, debug: 2 };
const detailRanks: Record<Detail['from'], number> = { normal: 0, verbose: 1, debug: 2 };

/** The lines below the progress, from the header to `The command completed successfully`. */
export function renderReport(report: NetdiagReport, level: Level): string[] {
  const entryOf = (name: TestName) => catalogueEntries.find(entry => entry.name === name);
  const shown = report.tests.filter(test => level !== 'quiet' || hasTrouble(test));
  const [first, ...others] = shown.filter(
    ({ name }) => entryOf(name)?.global && (ranks[level] > 0 || !entryOf(name)?.verboseOnly),
  );
  const netcards = first?.name === 'Ndis' ? first : undefined;
  const globals = netcards === undefined && first !== undefined ? [first, ...others] : others;
  const adapters = report.adapters
    .map(name => adapterBlock(name, shown, level))
    .filter(block => block.length > 0);
  return [
    '',
    ...headerBlock(report.header),
    ...(netcards === undefined ? [] : ['', '', ...globalBlock(netcards, level)]),
    ...(adapters.length === 0 ? [] : ['', '', 'Per interface results:', ...adapters.flat()]),
    ...(globals.length === 0
      ? []
      : ['', '', 'Global results:', ...globals.flatMap(test => ['', '', ...globalBlock(test, level)])]),
    '',
    '',
    ...report.notes,
    'The command completed successfully',
  ];
}

function headerBlock({ computerName, dnsHostName, systemInfo, processor }: ReportHeader): string[] {
  return [
    `    Computer Name: ${computerName}`,
    `    DNS Host Name: ${dnsHostName}`,
    `    System info : ${systemInfo}`,
    `    Processor : ${processor}`,
    '    List of installed hotfixes :',
    '        none',
  ];
}

function globalBlock(test: TestReport, level: Level): string[] {
  return [`${leader(test.title, globalWidth)}${test.status}`, ...detailLines(test.details, level, '    ')];
}

/** What all tests say about one adapter; nothing at `/q` when there is no trouble with it. */
function adapterBlock(adapter: string, tests: readonly TestReport[], level: Level): string[] {
  const blocks = tests.flatMap(test => {
    const outcome = test.adapters?.find(each => each.adapter === adapter);
    if (outcome === undefined || (level === 'quiet' && !hasTrouble(outcome))) return [];
    const block = adapterTestBlock(test, outcome, level);
    return block.length === 0 ? [] : [['', ...block]];
  });
  return blocks.length === 0 ? [] : ['', `    Adapter : ${adapter}`, ...blocks.flat()];
}

function adapterTestBlock(test: TestReport, outcome: AdapterOutcome, level: Level): string[] {
  const title = catalogueEntries.find(({ name }) => name === test.name)?.adapterTitle ?? test.title;
  const width = test.name === 'Autonet' ? autoConfigurationWidth : adapterWidth;
  // The addresses are shown by themselves; their heading comes with /v.
  const heading =
    test.name === 'IpConfig' && ranks[level] === 0 && outcome.status === 'Passed'
      ? []
      : [`        ${leader(title, width)}${outcome.status}`];
  const shownFields = [...(outcome.fields ?? []), ...(ranks[level] > 0 ? (outcome.verboseFields ?? []) : [])];
  const fields = shownFields.map(([label, value]) => `        ${leader(label, adapterWidth)}${value}`);
  return [...heading, ...fields, ...detailLines(outcome.details, level, '            ')];
}

function detailLines(details: readonly Detail[], level: Level, indent: string): string[] {
  return details
    .filter(({ from }) => detailRanks[from] <= ranks[level])
    .map(({ text, kind }) => {
      if (kind === 'fatal') return `${indent}    [FATAL] ${text}`;
      if (kind === 'warning') return `${indent}[WARNING] ${text}`;
      return text === '' ? '' : `${indent}${text}`;
    });
}

function hasTrouble({
  status,
  details,
}: {
  readonly status: string;
  readonly details: readonly Detail[];
}): boolean {
  return status === 'Failed' || details.some(({ kind }) => kind !== undefined);
}
