/** Lifetimes that wear the peers out, or the keys. */
import { encryption } from '../../crypto/algorithms.js';
import { finding, type PolicyFinding } from '../findings.js';
import { describeMethod } from '../ipsecpol/security-method.js';
import { policyDefaults, type SecurityMethod } from '../model.js';
import { type Check, type NamedRule, placeOf } from './check.js';

/** Shorter quick modes only fill logs with "bad SPI" (`policy-semantics.md` 4.2). */
export const shortestLifetime = { seconds: 300, kilobytes: 50_000 } as const;

const longest = { mainModeSeconds: 2 * 86_400, quickModeSeconds: 86_400 } as const;

/** After 2^32 blocks of 8 bytes, blocks repeat, and tell of what is in them (RFC 7296 5, "Sweet32"). */
const blockCipherKilobytes = 2 ** 35 / 1024;

/** Shortest: part of every change of a policy. */
export const shortLifetimeCheck: Check = {
  name: 'lifetimes',
  run: ({ rules }) =>
    rules.flatMap(named => methodsOf(named).flatMap(method => shortFindings(named, method))),
};

export const lifetimeCheck: Check = {
  name: 'lifetimes',
  run({ policy, rules }) {
    const mainModeSeconds = policy.keyExchange.lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds;
    const main =
      mainModeSeconds > longest.mainModeSeconds && rules.some(named => methodsOf(named).length > 0)
        ? [
            finding(
              'long-lifetime',
              {},
              `main mode keys are used for ${duration(mainModeSeconds)}`,
              `use ${longest.mainModeSeconds} s at most: -1k ${policyDefaults.mainModeLifetimeSeconds}S`,
            ),
          ]
        : [];
    return [...main, ...rules.flatMap(named => longFindings(named, mainModeSeconds))];
  },
};

function methodsOf({ rule }: NamedRule): readonly SecurityMethod[] {
  return rule.action.kind === 'negotiate' ? rule.action.methods : [];
}

function shortFindings(named: NamedRule, method: SecurityMethod): PolicyFinding[] {
  const { lifetimeSeconds = 0, lifetimeKilobytes = 0 } = method;
  if (
    (lifetimeSeconds === 0 || lifetimeSeconds >= shortestLifetime.seconds) &&
    (lifetimeKilobytes === 0 || lifetimeKilobytes >= shortestLifetime.kilobytes)
  )
    return [];
  return [
    finding(
      'short-lifetime',
      placeOf(named),
      `${describeMethod(method)} rekeys very often`,
      `use ${shortestLifetime.seconds}S and ${shortestLifetime.kilobytes}K or more`,
    ),
  ];
}

function longFindings(named: NamedRule, mainModeSeconds: number): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  const methods = methodsOf(named);
  const secondsOf = ({ lifetimeSeconds }: SecurityMethod) =>
    lifetimeSeconds || policyDefaults.quickModeLifetimeSeconds;
  const slowest = methods.find(method => secondsOf(method) > mainModeSeconds);
  if (slowest !== undefined)
    findings.push(
      finding(
        'lifetime-order',
        placeOf(named),
        `quick modes live ${duration(secondsOf(slowest))}, longer than the main mode they are made under (${duration(mainModeSeconds)}), so every renewal takes a new main mode`,
        'make the main mode lifetime (-1k) the longer one',
      ),
    );
  const oldest = methods.find(method => secondsOf(method) > longest.quickModeSeconds);
  if (oldest !== undefined)
    findings.push(
      finding(
        'long-lifetime',
        placeOf(named),
        `${describeMethod(oldest)} uses its keys for ${duration(secondsOf(oldest))}`,
        `use ${longest.quickModeSeconds}S at most; the usual is ${policyDefaults.quickModeLifetimeSeconds}S`,
      ),
    );
  const worn = methods.find(
    ({ esp, lifetimeKilobytes = 0 }) =>
      esp !== undefined &&
      encryption(esp.encryption).blockBytes === 8 &&
      lifetimeKilobytes > blockCipherKilobytes,
  );
  if (worn !== undefined)
    findings.push(
      finding(
        'too-much-data',
        placeOf(named),
        `${describeMethod(worn)} protects more than 32 GB with one key, and a cipher with blocks of 8 bytes then repeats blocks`,
        `use ${policyDefaults.quickModeLifetimeKilobytes}K, or an AES cipher`,
      ),
    );
  return findings;
}

function duration(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} days`;
  return seconds % 3_600 === 0 ? `${seconds / 3_600} h` : `${seconds} s`;
}
