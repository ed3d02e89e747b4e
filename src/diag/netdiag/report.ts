import type { TestName } from './catalogue.js';
import type { IpsecTestInput } from './ipsec-input.js';

export type Status = 'Passed' | 'Failed' | 'Skipped';

/** A line below a result. */
export interface Detail {
  readonly text: string;
  /** Shown at this level and those above it. */
  readonly from: 'normal' | 'verbose' | 'debug';
  /** Printed as `[WARNING] text` or `[FATAL] text`. */
  readonly kind?: 'warning' | 'fatal';
}

export type Field = readonly [label: string, value: string];

export interface AdapterOutcome {
  readonly adapter: string;
  readonly status: Status;
  readonly details: readonly Detail[];
  /** `IP Address . . . : 192.0.2.10` lines. */
  readonly fields?: readonly Field[];
  /** The same, from `/v` on. */
  readonly verboseFields?: readonly Field[];
}

/** What one test found. */
export interface TestOutcome {
  readonly status: Status;
  readonly details: readonly Detail[];
  readonly adapters?: readonly AdapterOutcome[];
}

export interface TestReport extends TestOutcome {
  readonly name: TestName;
  readonly title: string;
}

/** The block at the top. */
export interface ReportHeader {
  readonly computerName: string;
  readonly dnsHostName: string;
  readonly systemInfo: string;
  readonly processor: string;
}

/** Everything a run found, at every level; the level only chooses what is printed. */
export interface NetdiagReport {
  readonly header: ReportHeader;
  readonly adapters: readonly string[];
  readonly tests: readonly TestReport[];
  /** What the IP Security test looked at. */
  readonly ipsec?: IpsecTestInput;
  readonly notes: readonly string[];
}

/** A line shown at every level but where the test has no trouble at `/q`. */
export function line(text: string, from: Detail['from'] = 'normal'): Detail {
  return { text, from };
}

export function warning(text: string): Detail {
  return { text, from: 'normal', kind: 'warning' };
}

export function fatal(text: string): Detail {
  return { text, from: 'normal', kind: 'fatal' };
}

/** A test that has nothing to test here; the reason is shown from `/v` on. */
export function skipped(reason: string): TestOutcome {
  return { status: 'Skipped', details: [line(reason, 'verbose')] };
}

export function passed(...details: readonly Detail[]): TestOutcome {
  return { status: 'Passed', details };
}

export function failed(...details: readonly Detail[]): TestOutcome {
  return { status: 'Failed', details };
}

/** 0 when every test passed or was skipped, 1 when one failed. */
export function exitCodeOf(report: NetdiagReport): 0 | 1 {
  return report.tests.some(({ status }) => status === 'Failed') ? 1 : 0;
}
