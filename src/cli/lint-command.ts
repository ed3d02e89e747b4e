/** What `policy lint` and `policy validate` share: reading, checking with a progress bar, the exit code. */
import { Args } from '@oclif/core';
import type { PolicyFinding } from '../policy/findings.js';
import { lintPolicy } from '../policy/lint/lint.js';
import type { Policy } from '../policy/model.js';
import { printPacket } from '../policy/packet.js';
import { errorClasses } from '../report/errors.js';
import { Progress } from '../report/progress.js';
import { IpseckitCommand } from './base.js';
import {
  type ComputerFlags,
  computerFlags,
  computerOf,
  policyFileFlag,
  readPolicy,
  shellConnection,
} from './policy-source.js';

/** A finding as printed with `--json`. */
export interface ShownFinding {
  readonly id: string;
  readonly severity: PolicyFinding['severity'];
  readonly rule?: string;
  readonly filter?: string;
  readonly why: string;
  readonly next: string;
  readonly counterExample?: string;
}

export interface LintResult {
  readonly policy: string;
  /** No finding is an error. */
  readonly valid: boolean;
  readonly findings: readonly ShownFinding[];
}

export const lintArguments = {
  name: Args.string({ description: 'the policy, in any case; the assigned one when left out' }),
} as const;

export const lintFlags = { file: policyFileFlag, ...computerFlags } as const;

/** Steps of the progress bar. */
const shares = 1_000;

/** A command that checks one policy. */
export abstract class LintCommand extends IpseckitCommand<LintResult> {
  protected async check(
    name: string | undefined,
    flags: ComputerFlags & { readonly file?: string | undefined },
  ): Promise<LintResult> {
    const policy = await readPolicy(name, flags.file);
    const findings = lint(policy, flags);
    const valid = findings.every(({ severity }) => severity !== 'error');
    if (!valid) process.exitCode = errorClasses.INVALID_POLICY.exitCode;
    return { policy: policy.name, valid, findings: findings.map(shownFinding) };
  }

  protected printFindings(findings: readonly ShownFinding[]): void {
    for (const { id, severity, rule, filter, why, next, counterExample } of findings) {
      const place = [rule, filter === undefined ? undefined : `filter '${filter}'`]
        .filter(Boolean)
        .join(', ');
      this.print(
        `${severity}: ${place === '' ? '' : `${place}: `}${why} [${id}]`,
        ...(counterExample === undefined ? [] : [`    packet: ${counterExample}`]),
        `    next: ${next}`,
      );
    }
  }
}

function lint(policy: Policy, flags: ComputerFlags): PolicyFinding[] {
  const shell = shellConnection(process.env.SSH_CONNECTION);
  const progress = new Progress('checking', shares);
  let drawn = 0;
  try {
    return lintPolicy(policy, { ...computerOf(flags), ...(shell === undefined ? {} : { shell }) }, share => {
      const step = Math.floor(share * shares) - drawn;
      if (step > 0) progress.step(step);
      drawn += Math.max(0, step);
    });
  } finally {
    progress.done();
  }
}

function shownFinding({ code, severity, where, why, next, counterExample }: PolicyFinding): ShownFinding {
  return {
    id: code,
    severity,
    ...(where.rule === undefined ? {} : { rule: where.rule }),
    ...(where.filter === undefined ? {} : { filter: where.filter }),
    why,
    next,
    ...(counterExample === undefined ? {} : { counterExample: printPacket(counterExample) }),
  };
}

/** `2 errors, 1 warning and 3 notes`. */
export function countFindings(findings: readonly ShownFinding[]): string {
  const counts = (['error', 'warning', 'note'] as const).flatMap(severity => {
    const count = findings.filter(each => each.severity === severity).length;
    return count === 0 ? [] : [`${count} ${severity}${count === 1 ? '' : 's'}`];
  });
  const last = counts.pop() ?? 'nothing';
  return counts.length === 0 ? last : `${counts.join(', ')} and ${last}`;
}
