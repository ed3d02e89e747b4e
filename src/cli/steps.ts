import type { AgentEvent } from '../agent/agent.js';
import { printAuditEvent } from '../agent/audit-text.js';
import { describeConfiguration } from '../agent/gateway-client.js';
import { printPolicyEvent } from '../agent/policy-events.js';
import type { NegotiationFailure, NegotiationStep } from '../ike/api.js';
import type { QuickModeInfo } from '../ike/info.js';
import { printSecurityMethod } from '../policy/proposals.js';
import { printSelector } from '../wire/ip/selector.js';

const arrows = { sent: '->', received: '<-', note: '  ' } as const;

/** `-> main mode 1: SA VID VID (168 bytes)`. */
export function describeStep(step: NegotiationStep): string {
  const size = step.bytes === undefined ? '' : ` (${step.bytes} bytes)`;
  const again = step.retransmission ? `, retransmission ${step.retransmission}` : '';
  return `${arrows[step.direction]} ${step.peer} ${step.message}: ${step.detail}${size}${again}`;
}

/** Why a negotiation failed, with each attribute that did not match. */
export function describeFailure(failure: NegotiationFailure): string[] {
  const where = failure.message === undefined ? '' : ` at ${failure.message}`;
  const mismatches = failure.mismatches ?? [];
  return [
    `${failure.mode} mode with ${failure.peer} failed${where}: ${failure.text}`,
    ...mismatches.map(
      ({ proposal, transform, attribute, wanted, offered }) =>
        `  proposal ${proposal} transform ${transform}: ${attribute}: wanted ${wanted}, offered ${offered}`,
    ),
    ...(failure.certificateTests ?? []).map(
      ({ test, passed, certificate, detail }) =>
        `  ${passed ? 'passed' : 'FAILED'}  ${test} of ${certificate}: ${detail}`,
    ),
  ];
}

/** One agent event as text, without key material. */
export function describeEvent(event: AgentEvent): string {
  switch (event.kind) {
    case 'audit':
      return printAuditEvent(event.event);
    case 'policy':
      return printPolicyEvent(event.event);
    case 'step':
      return describeStep(event.step);
    case 'failure':
      return describeFailure(event.failure).join('\n');
    case 'reconfigured':
      return `${event.peer} assigns anew: ${describeConfiguration(event.configuration)}`;
    case 'addressLost':
      return `${event.address} is no longer an address of this host`;
    case 'error':
      return `error: ${event.error.message}`;
    case 'keys':
      return 'key material (not shown)';
  }
}

/** `192.0.2.1 - 192.0.2.2 transport ESP[3DES,SHA] in 0x… out 0x…`. */
export function describeQuickMode({ pair, inbound, outbound, method }: QuickModeInfo): string {
  const spis = (halves: QuickModeInfo['inbound']) =>
    halves.map(half => `0x${half.spi.toString(16).padStart(8, '0')}`).join('+');
  const encapsulated = pair.udpEncapsulation === undefined ? '' : ' in UDP';
  return `${pair.local} - ${pair.peer} ${pair.mode} ${printSecurityMethod(method)}${encapsulated}, ${printSelector(pair.selector)}, SPIs in ${spis(inbound)} out ${spis(outbound)}`;
}
