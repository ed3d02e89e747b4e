/** A replay report for people. */
import { type CertificateTest, testRow, testTitles } from '../../crypto/certificates/chain.js';
import { day } from '../../crypto/certificates/crl.js';
import type { NegotiationFailure } from '../../ike/api.js';
import { renderTable } from '../../report/table.js';
import type {
  OfferedTransform,
  PolicyView,
  ProposalDecision,
  ReplayCertificates,
  ReplayEndpoint,
  ReplayMessage,
  ReplayNegotiation,
  ReplayQuickMode,
  ReplayReport,
  Role,
} from './report.js';

/** Transforms shown at most where a peer offers more. */
const mostTransforms = 12;
/** SPIs shown at most. */
const mostFlows = 100;

/** The lines of a report; with `details` every field of every message. */
export function renderReplay(report: ReplayReport, details: boolean): string[] {
  const { packets, startedAt, negotiations, protectedFlows, notes } = report;
  const began = startedAt === undefined ? '' : `, from ${startedAt}`;
  return [
    `${count(packets, 'packet')}${began}; ${count(negotiations.length, 'negotiation')}.`,
    ...negotiations.flatMap((negotiation, i) => ['', ...negotiationLines(negotiation, i + 1, details)]),
    ...(protectedFlows.length === 0 ? [] : ['', 'ESP and AH in the capture:']),
    ...protectedFlows
      .slice(0, mostFlows)
      .map(
        ({ protocol, spi, source, destination, inUdp, packets: seen, beginsAtSeconds, endsAtSeconds }) =>
          `  ${protocol}${inUdp ? ' in UDP' : ''} ${spi} ${source} -> ${destination}: ${count(seen, 'packet')}, ${seconds(beginsAtSeconds)} to ${seconds(endsAtSeconds)}`,
      ),
    ...(protectedFlows.length > mostFlows
      ? [`  ${protectedFlows.length - mostFlows} more (--json has them)`]
      : []),
    ...(notes.length === 0 ? [] : ['', ...notes.map(note => `Note: ${note}.`)]),
  ];
}

function negotiationLines(negotiation: ReplayNegotiation, number: number, details: boolean): string[] {
  const { initiator, responder, mode, outcome, failure, proposals, nat, vendors, identities } = negotiation;
  const { initiatorCookie, responderCookie = '(none)', messages, decrypted, quickModes } = negotiation;
  const { xauth, configuration, leftOut } = negotiation;
  // A policy judges the same certificates, under its own CAs.
  const judges = negotiation.policyViews.some(({ certificateTests }) => certificateTests !== undefined);
  const sides: readonly Role[] = ['initiator', 'responder'];
  return [
    `${number}. ${printEndpoint(initiator)} -> ${printEndpoint(responder)}, ${mode === 'unknown' ? 'phase 1 is not in the capture' : `${mode} mode`}: ${outcome}`,
    `   cookies ${initiatorCookie} ${responderCookie}, ${count(messages.length, 'message')}, encrypted ones read: ${decrypted}`,
    ...failureLines(failure).map(line => `   ${line}`),
    ...decisionLines(proposals).map(line => `   ${line}`),
    ...sides.flatMap(side =>
      vendors[side].length === 0 ? [] : [`   the ${side} says it is or can: ${vendors[side].join('; ')}`],
    ),
    ...(nat === undefined ? [] : [`   ${nat.text}`]),
    ...sides.flatMap(side =>
      identities[side] === undefined ? [] : [`   identity of the ${side}: ${identities[side]}`],
    ),
    ...negotiation.proofs.map(({ text }) => `   ${text}`),
    ...negotiation.warnings.map(warning => `   warning: ${warning}`),
    ...negotiation.certificates.flatMap(one => certificateLines(one, !judges).map(line => `   ${line}`)),
    ...negotiation.policyViews.flatMap(one => viewLines(one).map(line => `   ${line}`)),
    ...(xauth === undefined ? [] : [`   ${xauth.text}`]),
    ...(configuration === undefined ? [] : [`   ${configuration.text}`]),
    '   messages:',
    ...messages.flatMap(message => messageLines(message, details).map(line => `     ${line}`)),
    ...quickModes.flatMap(quickMode => quickModeLines(quickMode).map(line => `   ${line}`)),
    ...(leftOut === 0 ? [] : [`   ${leftOut} more messages and quick modes are not told of`]),
  ];
}

function failureLines(failure: NegotiationFailure | undefined): string[] {
  if (failure === undefined) return [];
  return [
    `failed: ${failure.text} (${failure.reason}, Win32 error ${failure.windowsCode})`,
    `next: ${failure.next}`,
  ];
}

function certificateLines({ by, chain, verdict, notes }: ReplayCertificates, withTests: boolean): string[] {
  return [
    ...chain.map(
      ({ subject, issuer, key, notBeforeMs, notAfterMs }, i) =>
        `${i === 0 ? `certificate of the ${by}` : '  sent with it'}: ${subject}, issued by ${issuer}, ${key}, ${day(notBeforeMs)} to ${day(notAfterMs)}`,
    ),
    ...notes.map(note => `  the ${by}: ${note}`),
    ...(verdict === undefined || !withTests
      ? []
      : [
          `  under the CAs at hand: ${verdict.passed ? 'all tests passed' : 'it would be refused'}`,
          ...testLines(verdict.tests),
        ]),
  ];
}

function viewLines({ as, phase, text, certificateTests = [] }: PolicyView): string[] {
  return [`your policy as ${as}, ${phase}: ${text}`, ...testLines(certificateTests)];
}

/** The table that `cert check` prints. */
function testLines(tests: readonly CertificateTest[]): string[] {
  if (tests.length === 0) return [];
  const titles = testTitles.map(title => ({ title }));
  return renderTable(titles, tests.map(testRow))
    .split('\n')
    .map(line => `    ${line}`);
}

function decisionLines(decision: ProposalDecision | undefined): string[] {
  if (decision === undefined) return [];
  const { offered, chosen, notChosen } = decision;
  if (chosen === undefined) return ['offered, and nothing chosen:', ...shown(offered, printTransform)];
  return [
    `chosen: ${printTransform(chosen)}`,
    ...(notChosen.length === 0 ? [] : ['not chosen:']),
    ...shown(notChosen, ({ differences, ...transform }) => {
      const texts = differences.map(
        ({ attribute, offered: is, wanted }) => `${attribute} ${is}, chosen ${wanted}`,
      );
      return `proposal ${transform.proposal} transform ${transform.transform}: ${texts.join('; ') || 'the same again'}`;
    }),
  ];
}

function shown<T>(list: readonly T[], print: (one: T) => string): string[] {
  const lines = list.slice(0, mostTransforms).map(one => `  ${print(one)}`);
  return list.length > mostTransforms ? [...lines, `  ${list.length - mostTransforms} more`] : lines;
}

function printTransform({ proposal, transform, text }: OfferedTransform): string {
  return `proposal ${proposal} transform ${transform}: ${text}`;
}

function messageLines(message: ReplayMessage, details: boolean): string[] {
  const { packet, atSeconds, from, name, payloads, problem, decisions, retransmissions, fields } = message;
  const arrow = from === 'initiator' ? '->' : '<-';
  const last = retransmissions.at(-1);
  return [
    `#${packet} ${seconds(atSeconds)} ${arrow} ${name}: ${payloads ?? problem ?? ''}`,
    ...(payloads !== undefined && problem !== undefined ? [`     ${problem}`] : []),
    ...decisions.map(decision => `     ${decision}`),
    ...(last === undefined
      ? []
      : [
          `     sent again ${count(retransmissions.length, 'time')}, last at ${seconds(last.atSeconds)} (#${last.packet})`,
        ]),
    ...(details ? fields.map(line => `     | ${line}`) : []),
  ];
}

function quickModeLines(quickMode: ReplayQuickMode): string[] {
  const { messageId, initiator, outcome, traffic, text, failure, proposals, spis } = quickMode;
  const what = traffic === undefined ? '' : `, ${traffic}`;
  return [
    `quick mode ${messageId}, begun by the ${initiator}${what}: ${outcome}`,
    ...(failure === undefined ? [`  ${text}`] : failureLines(failure).map(line => `  ${line}`)),
    ...decisionLines(proposals).map(line => `  ${line}`),
    ...spis.map(
      ({ protocol, spi, receiver, packets }) =>
        `  ${protocol} ${spi}, received by the ${receiver}: ${count(packets, 'packet')}`,
    ),
  ];
}

function printEndpoint({ address, port }: ReplayEndpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function seconds(value: number): string {
  return `${value.toFixed(3)} s`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
