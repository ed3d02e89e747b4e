/**
 * The walk from a certificate to a trusted root (RFC 5280 6, without policies and name constraints). Every test made
 * on the way is kept as data, passed or failed.
 */
import { bytesEqual } from '../../wire/bytes.js';
import { nameMatchesText, namesEqual } from '../../wire/der/distinguished-name.js';
import type { IdPayload } from '../../wire/isakmp/payloads.js';
import { type Certificate, type CertificateKey, printKey } from './certificate.js';
import type { CrlStrength } from './credentials.js';
import { type Crl, day, revocationOf } from './crl.js';
import { identityMismatch } from './identity.js';

export const certificateTestNames = [
  'trust',
  'authority',
  'signature',
  'validity',
  'key',
  'key usage',
  'extended key usage',
  'critical extensions',
  'basic constraints',
  'path length',
  'revocation',
  'identity',
] as const;

/** One test of one certificate of a chain. */
export interface CertificateTest {
  readonly test: (typeof certificateTestNames)[number];
  /** Subject of the certificate tested. */
  readonly certificate: string;
  readonly passed: boolean;
  /** What was found: `valid until 2027-01-01`, `expired on 2025-01-01`. */
  readonly detail: string;
}

export interface CertificateVerdict {
  readonly passed: boolean;
  /** In the order they were made: from the leaf to the root. */
  readonly tests: readonly CertificateTest[];
  /** Leaf first, as far as it could be followed. */
  readonly chain: readonly Certificate[];
}

export interface ChainSettings {
  readonly trusted: readonly Certificate[];
  readonly intermediates: readonly Certificate[];
  readonly crls: readonly Crl[];
  /** Why a distribution point gave no list, by its URL. */
  readonly crlProblems?: ReadonlyMap<string, string>;
  readonly crlStrength: CrlStrength;
  readonly nowMs: number;
  /** Names of the CAs one of which must stand above it, as `CERT:"…"` writes them; any trusted one when absent. */
  readonly authorities?: readonly string[];
  /** Whom it must speak for. */
  readonly id?: Pick<IdPayload, 'idType' | 'data'>;
}

/** Bounds of the search: a hostile set of certificates that all name each other ends it, not us. */
const limits = { depth: 8, signatures: 16, paths: 16 } as const;

/** Judges a certificate with what its sender gave along. Never throws. */
export function checkCertificate(leaf: Certificate, settings: ChainSettings): CertificateVerdict {
  const verdicts = pathsFrom(leaf, settings).map(path => judge(path, settings));
  const failures = ({ tests }: CertificateVerdict) => tests.filter(({ passed }) => !passed).length;
  const [first, ...others] = verdicts;
  if (first === undefined) return judge({ chain: [leaf], root: undefined, problem: undefined }, settings);
  return others.reduce((best, next) => (failures(next) < failures(best) ? next : best), first);
}

/** The first test that failed. */
export function failedTest({ tests }: CertificateVerdict): CertificateTest | undefined {
  return tests.find(({ passed }) => !passed);
}

/** `CN=gw: expired on 2025-01-01`. */
export function printTest({ certificate, detail }: CertificateTest): string {
  return `${certificate}: ${detail}`;
}

/** Tests as a table, for people. */
export const testTitles = ['Test', 'Result', 'Certificate', 'Found'] as const;

export function testRow({ test, passed, certificate, detail }: CertificateTest): readonly string[] {
  return [test, passed ? 'passed' : 'FAILED', certificate, detail];
}

interface Path {
  readonly chain: readonly Certificate[];
  /** The last of `chain`, when it is trusted. */
  readonly root: Certificate | undefined;
  /** An issuer by name whose key did not sign the last of `chain`. */
  readonly problem: Certificate | undefined;
}

/** Complete paths if there are any, else how far it came. */
function pathsFrom(leaf: Certificate, { trusted, intermediates }: ChainSettings): Path[] {
  const complete: Path[] = [];
  const partial: Path[] = [];
  let signatures = 0;
  const follow = (chain: readonly Certificate[]) => {
    const last = chain.at(-1);
    if (last === undefined || complete.length >= limits.paths) return;
    if (trusted.some(root => bytesEqual(root.der, last.der))) {
      complete.push({ chain, root: last, problem: undefined });
      return;
    }
    let problem: Certificate | undefined;
    let followed = false;
    for (const issuer of [...trusted, ...intermediates]) {
      if (!namesEqual(issuer.subject, last.issuer) || chain.includes(issuer)) continue;
      if (chain.length >= limits.depth || ++signatures > limits.signatures) break;
      if ((trusted.includes(issuer) || isCheap(issuer.key)) && last.signedBy(issuer.publicKey)) {
        followed = true;
        follow([...chain, issuer]);
      } else problem = issuer;
    }
    if (!followed) partial.push({ chain, root: undefined, problem });
  };
  follow([leaf]);
  return complete.length > 0 ? complete : partial.slice(0, limits.paths);
}

function judge({ chain, root, problem }: Path, settings: ChainSettings): CertificateVerdict {
  const tests: CertificateTest[] = [];
  const add = (certificate: Certificate, test: CertificateTest['test'], passed: boolean, detail: string) =>
    tests.push({
      test,
      certificate: certificate.subject.text || `serial ${certificate.serialNumber}`,
      passed,
      detail,
    });
  for (const [position, certificate] of chain.entries()) {
    const issuer = chain[position + 1];
    const isRoot = certificate === root;
    validityTest(certificate, settings.nowMs, add);
    if (!isRoot) signatureTest(certificate, issuer, issuer ?? problem, add);
    criticalTest(certificate, add);
    if (position === 0) leafTests(certificate, settings, add);
    if (position > 0) authorityTests(certificate, chain.slice(1, position), isRoot, add);
    if (issuer !== undefined) revocationTest(certificate, issuer, settings, add);
  }
  trustTests(chain, root, settings, add);
  return { passed: tests.every(({ passed }) => passed), tests, chain };
}

type Add = (certificate: Certificate, test: CertificateTest['test'], passed: boolean, detail: string) => void;

function validityTest(certificate: Certificate, nowMs: number, add: Add): void {
  const { notBeforeMs, notAfterMs } = certificate;
  if (nowMs < notBeforeMs) add(certificate, 'validity', false, `not valid before ${day(notBeforeMs)}`);
  else if (nowMs > notAfterMs) add(certificate, 'validity', false, `expired on ${day(notAfterMs)}`);
  else add(certificate, 'validity', true, `valid until ${day(notAfterMs)}`);
}

/** MD5 collisions make certificates anyone can forge; SHA-1 is what every CA of the Windows 2000 age signed with. */
const forgeable: readonly string[] = ['md2', 'md5'];

function signatureTest(
  certificate: Certificate,
  issuer: Certificate | undefined,
  tried: Certificate | undefined,
  add: Add,
): void {
  const { signatureHash } = certificate;
  if (issuer === undefined) {
    if (tried !== undefined)
      add(certificate, 'signature', false, `it does not verify with the key of ${tried.subject.text}`);
    return;
  }
  const weak = signatureHash !== undefined && forgeable.includes(signatureHash);
  const by = `signed by ${issuer.subject.text}`;
  add(certificate, 'signature', !weak, weak ? `${by} with ${signatureHash}, which can be forged` : by);
}

function criticalTest(certificate: Certificate, add: Add): void {
  const { unknownCritical } = certificate;
  if (unknownCritical.length === 0) return;
  const list = unknownCritical.slice(0, 4).join(', ');
  add(
    certificate,
    'critical extensions',
    false,
    `it has critical extensions that are not understood: ${list}`,
  );
}

/** Curves of RFC 4754. */
const usableCurves: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1'];
const rsaBits = { least: 512, most: 16_384, mostOfUntrusted: 8_192, mostOfExponent: 64 } as const;

/** Whether a stranger's CA key is one of those in use: with others a single signature can take long to verify. */
function isCheap(key: CertificateKey): boolean {
  return (
    key.kind !== 'rsa' || (key.bits <= rsaBits.mostOfUntrusted && key.exponentBits <= rsaBits.mostOfExponent)
  );
}

/** Whether IKE can use a key of this kind, and verify what is signed with it in a short time. */
export function isUsableKey(key: CertificateKey): boolean {
  if (key.kind !== 'rsa') return key.kind === 'ec' && usableCurves.includes(key.curve);
  return key.bits >= rsaBits.least && key.bits <= rsaBits.most && key.exponentBits <= rsaBits.mostOfExponent;
}

/** Extended key usages that let a certificate authenticate IKE; Windows takes all of them. */
const usableExtendedKeyUsages: Readonly<Record<string, string>> = {
  '2.5.29.37.0': 'any',
  '1.3.6.1.5.5.8.2.2': 'IKE intermediate',
  '1.3.6.1.5.5.7.3.17': 'IPsec IKE',
  '1.3.6.1.5.5.7.3.5': 'IPsec end system',
  '1.3.6.1.5.5.7.3.6': 'IPsec tunnel',
  '1.3.6.1.5.5.7.3.7': 'IPsec user',
  '1.3.6.1.5.5.7.3.1': 'server authentication',
  '1.3.6.1.5.5.7.3.2': 'client authentication',
};

function leafTests(leaf: Certificate, { id }: ChainSettings, add: Add): void {
  const { key, keyUsage, extendedKeyUsage } = leaf;
  const usableKey = isUsableKey(key);
  add(leaf, 'key', usableKey, `${printKey(key)}${usableKey ? '' : ', which IKE cannot use'}`);
  if (keyUsage !== undefined) {
    const signs = keyUsage.has('digitalSignature') || keyUsage.has('nonRepudiation');
    add(
      leaf,
      'key usage',
      signs,
      signs ? 'may sign' : `may not sign, only ${[...keyUsage].join(', ') || 'nothing'}`,
    );
  }
  if (extendedKeyUsage !== undefined) {
    const usable = extendedKeyUsage.flatMap(oid => usableExtendedKeyUsages[oid] ?? []);
    const detail =
      usable.length > 0 ? usable.join(', ') : `only for ${extendedKeyUsage.slice(0, 4).join(', ')}`;
    add(leaf, 'extended key usage', usable.length > 0, detail);
  }
  if (id === undefined) return;
  const mismatch = identityMismatch(leaf, id);
  add(leaf, 'identity', mismatch === undefined, mismatch ?? 'speaks for the identity claimed');
}

/** `below`: the CAs between it and the leaf. A trusted root need not say that it is a CA: old ones do not. */
function authorityTests(ca: Certificate, below: readonly Certificate[], isRoot: boolean, add: Add): void {
  const { basicConstraints, keyUsage } = ca;
  if (basicConstraints !== undefined || !isRoot) {
    const isCa = basicConstraints?.ca === true;
    add(ca, 'basic constraints', isCa, isCa ? 'is a CA' : 'is not a CA');
  }
  const longest = basicConstraints?.pathLength;
  const depth = below.filter(({ subject, issuer }) => !namesEqual(subject, issuer)).length;
  if (longest !== undefined)
    add(ca, 'path length', depth <= longest, `${depth} CAs below it, ${longest} allowed`);
  if (keyUsage === undefined) return;
  const signs = keyUsage.has('keyCertSign');
  add(ca, 'key usage', signs, signs ? 'may sign certificates' : 'may not sign certificates');
}

function revocationTest(
  certificate: Certificate,
  issuer: Certificate,
  { crls, crlProblems, crlStrength, nowMs }: ChainSettings,
  add: Add,
): void {
  if (crlStrength === 0) return;
  const { state, detail: found } = revocationOf(certificate, issuer, crls, nowMs);
  const problems = certificate.crlDistributionPoints.flatMap(url => {
    const problem = state === 'unknown' ? crlProblems?.get(url) : undefined;
    return problem === undefined ? [] : [`${url}: ${problem}`];
  });
  const detail = [found, ...problems].join('; ');
  const tolerated = state === 'unknown' && crlStrength === 1;
  add(
    certificate,
    'revocation',
    state === 'good' || tolerated,
    tolerated ? `${detail}; none is demanded` : detail,
  );
}

function trustTests(
  chain: readonly Certificate[],
  root: Certificate | undefined,
  { authorities }: ChainSettings,
  add: Add,
): void {
  const last = chain.at(-1);
  if (last === undefined) return;
  if (root === undefined) {
    const selfSigned = namesEqual(last.subject, last.issuer);
    add(last, 'trust', false, selfSigned ? 'self-signed, and not among the trusted CAs' : unissued(last));
    return;
  }
  add(root, 'trust', true, 'is a trusted CA');
  if (authorities === undefined) return;
  const named = chain.some(
    ({ subject }, i) =>
      (i > 0 || chain.length === 1) && authorities.some(text => nameMatchesText(subject, text)),
  );
  const list = authorities.map(text => `"${text}"`).join(' or ');
  add(
    root,
    'authority',
    named,
    named ? 'is the CA the policy names' : `the policy wants a certificate under ${list}`,
  );
}

function unissued({ issuer }: Certificate): string {
  return `its issuer ${issuer.text} is neither trusted nor known`;
}
