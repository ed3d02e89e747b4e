import assert from 'node:assert/strict';
import { Secret } from '../../src/crypto/secret.js';
import { applyToPolicy, type BuildContext, buildDynamicPolicy } from '../../src/policy/build.js';
import { policyFromDocument, policyToDocument } from '../../src/policy/document.js';
import { derivedGuid } from '../../src/policy/guid.js';
import type { IpsecpolCommand } from '../../src/policy/ipsecpol/command.js';
import { parseIpsecpol } from '../../src/policy/ipsecpol/parse.js';
import type { Policy } from '../../src/policy/model.js';
import { type ErrorCode, IpseckitError } from '../../src/report/errors.js';
import { ipAddress } from '../../src/wire/ip/address.js';

/** Splits as a shell with double and single quotes would; enough for the command lines in the tests. */
export function words(line: string): string[] {
  return [...line.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replace(/["']/g, ''));
}

export function parse(line: string): IpsecpolCommand {
  const request = parseIpsecpol(words(line));
  assert.ok(request.kind === 'static' || request.kind === 'dynamic', line);
  return request;
}

/** A build context with counted GUIDs and a few known names. */
export function buildContext(): BuildContext {
  let count = 0;
  return {
    newGuid: () => derivedGuid('test', String(++count)),
    addressesOf: name => {
      const last = { hostA: [1], hostB: [2], many: [7, 8] }[name];
      if (last === undefined) throw new Error(`the test resolves no ${name}`);
      return last.map(octet => ipAddress(`198.51.100.${octet}`));
    },
    presharedKey: path => new Secret(`key in ${path}`),
  };
}

/** Runs static command lines one after another on one policy. */
export function policyOf(...lines: readonly string[]): Policy {
  const context = buildContext();
  let policy: Policy | undefined;
  for (const line of lines) {
    const command = parse(line);
    assert.ok(command.kind === 'static', line);
    policy = applyToPolicy(policy, command, context);
  }
  assert.ok(policy);
  return policy;
}

/** The same policy with ids of its own throughout. */
export function withOtherIds(policy: Policy, salt: string): Policy {
  const text = JSON.stringify(policyToDocument(policy));
  return policyFromDocument(
    JSON.parse(text.replaceAll(/\{[\dA-F]{8}-[\dA-F-]{27}\}/g, id => derivedGuid(salt, id))),
  );
}

/** The policy of one dynamic execution. */
export function dynamicPolicy(line: string, context = buildContext()): Policy {
  const command = parse(line);
  assert.ok(command.kind === 'dynamic', line);
  return buildDynamicPolicy(command, context);
}

/** Asserts that `run` throws an `IpseckitError` of this code, with a next step, and returns it. */
export function failure(run: () => unknown, code: ErrorCode): IpseckitError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof IpseckitError, `${error}`);
    assert.equal(error.code, code, error.message);
    assert.ok(error.next, 'says what to do next');
    return error;
  }
  assert.fail(`expected ${code}, nothing was thrown`);
}
