/** Certificates on the wire: asking for them, sending ours, judging the peer's (ike.md 16). */
import {
  type Certificate,
  CertificateError,
  parseCertificate,
} from '../../crypto/certificates/certificate.js';
import {
  type CertificateVerdict,
  type ChainSettings,
  checkCertificate,
  failedTest,
  isUsableKey,
  printTest,
} from '../../crypto/certificates/chain.js';
import { noCredentials, type OwnCertificate } from '../../crypto/certificates/credentials.js';
import {
  certificatesOfPkcs7,
  maxCertificates,
  pkcs7OfCertificates,
} from '../../crypto/certificates/pkcs7.js';
import { nameMatchesText } from '../../wire/der/distinguished-name.js';
import { findPayloads, type PayloadChain } from '../../wire/isakmp/message.js';
import { certificateEncodings } from '../../wire/isakmp/numbers.js';
import type { CertPayload, CertReqPayload, IdPayload } from '../../wire/isakmp/payloads.js';
import type { MainModePolicy } from '../api.js';
import type { Context } from '../context.js';
import { ExchangeError } from '../exchange-error.js';
import type { MainMode } from '../main-mode.js';
import { certificateMethods } from './offers.js';
import { requireCrls } from './revocation.js';

const x509 = certificateEncodings['X509-SIGNATURE'];
const pkcs7 = certificateEncodings.PKCS7;

/** What is remembered of the names of CAs that a peer asks for. */
const limits = { requests: 64, nameBytes: 1_024, namesBytes: 16_384 } as const;

/** A request for each CA of the policy that is trusted here; one without a name where the policy hides the names. */
export function certificateRequests(policy: MainModePolicy): CertReqPayload[] {
  const { trusted } = policy.credentials ?? noCredentials;
  const names = certificateMethods(policy).flatMap(({ authority, excludeCaName }) =>
    excludeCaName === true
      ? [new Uint8Array(0)]
      : trusted
          .filter(({ subject }) => nameMatchesText(subject, authority))
          .map(({ subject }) => subject.der),
  );
  const distinct = new Map(names.map(name => [Buffer.from(name).toString('hex'), name]));
  return [...distinct.values()].map(authority => ({ kind: 'certreq', encoding: x509, authority }));
}

/** Remembers whose certificates the peer asks for. They may come in any message. */
export function noteCertificateRequests(mainMode: MainMode, chain: PayloadChain): void {
  const { requestedAuthorities: known } = mainMode;
  let bytes = known.reduce((sum, name) => sum + name.length, 0);
  for (const { payload } of findPayloads(chain, 'certreq')) {
    const { encoding, authority } = payload;
    if (encoding === pkcs7) mainMode.wantsPkcs7 = true;
    if (authority.length === 0 || authority.length > limits.nameBytes) continue;
    bytes += authority.length;
    if (known.length < limits.requests && bytes <= limits.namesBytes) known.push(authority.slice());
  }
}

/**
 * Ours: the leaf first (racoon reads no other), then the intermediates, each for itself. In one PKCS#7 wrapping for who
 * asked for that, and a chain for Windows, which takes chains no other way.
 */
export function certificatePayloads(
  { certificate, chain }: OwnCertificate,
  { wantsPkcs7, vendors }: MainMode,
): CertPayload[] {
  const ders = [certificate, ...chain].map(({ der }) => der);
  const wrapped = wantsPkcs7 || (chain.length > 0 && vendors.windowsVersion !== undefined);
  return wrapped
    ? [{ kind: 'cert', encoding: pkcs7, data: pkcs7OfCertificates(ders) }]
    : ders.map(data => ({ kind: 'cert', encoding: x509, data }));
}

/** What was found of the peer's certificate and signature. */
export interface Judgement {
  /** As far as it came. */
  readonly verdict?: CertificateVerdict;
  /** Why the peer is refused: `no-peer-certificate`, `invalid-signature`, or `certificate-refused` with the tests. */
  readonly refused?: ExchangeError;
  /** Certificates beside the peer's own that cannot be read. */
  readonly unreadable: readonly string[];
}

/**
 * Judges under the policy whether the peer has signed, and whether its certificate speaks for `id`. The signature comes
 * first: nobody makes us walk a chain or fetch lists with certificates of others. Nothing has changed afterwards.
 * Throws `CrlsWanted`.
 */
export function judgePeerCertificate(
  context: Context,
  mainMode: MainMode,
  chain: PayloadChain,
  id: Pick<IdPayload, 'idType' | 'data'>,
  hasSigned: (leaf: Certificate) => boolean,
): Judgement {
  const received = readOrRefused(chain);
  if (received instanceof ExchangeError) return { refused: received, unreadable: [] };
  const { certificates, unreadable } = received;
  const [leaf, ...others] = certificates;
  if (leaf === undefined) {
    const text = 'the message has no certificate of the peer';
    return { refused: new ExchangeError('no-peer-certificate', text), unreadable };
  }
  // What IKE cannot use, the tests name.
  if (isUsableKey(leaf.key) && !hasSigned(leaf)) {
    const name = `SIG_${mainMode.role === 'initiator' ? 'R' : 'I'}`;
    const text = `${name} is wrong: it was not made with the key of ${leaf.subject.text}`;
    const verdict = { passed: false, tests: [], chain: [leaf] };
    return { verdict, refused: new ExchangeError('invalid-signature', text), unreadable };
  }
  const settings = chainSettings(mainMode, others, id, context.calendarMs);
  const verdict = checkCertificate(leaf, settings);
  requireCrls(context, mainMode, verdict, settings);
  const failed = failedTest(verdict);
  if (failed === undefined) return { verdict, unreadable };
  const text = `the peer's certificate fails: ${printTest(failed)}`;
  return { verdict, refused: new ExchangeError('certificate-refused', text), unreadable };
}

/** Takes over what was judged: the verdict stays with the main mode. Throws the `ExchangeError` of a refusal. */
export function acceptJudgement(
  context: Context,
  mainMode: MainMode,
  { verdict, refused, unreadable }: Judgement,
): void {
  const note = (text: string) => context.progress(mainMode.peer, 'note', 'certificate', text);
  if (verdict !== undefined) mainMode.peerVerdict = verdict;
  for (const problem of unreadable) note(`left out: ${problem}`);
  if (refused !== undefined) throw refused;
  if (verdict !== undefined) note(describeChain(verdict));
}

function readOrRefused(chain: PayloadChain): ReceivedCertificates | ExchangeError {
  try {
    return receivedCertificates(chain);
  } catch (error) {
    if (error instanceof ExchangeError) return error;
    throw error;
  }
}

/** What the peer's certificate is judged with: its own intermediates, ours, and all lists at hand. */
export function chainSettings(
  { policy, revocation }: Pick<MainMode, 'policy' | 'revocation'>,
  others: readonly Certificate[],
  id: Pick<IdPayload, 'idType' | 'data'>,
  nowMs: number,
): ChainSettings {
  const { trusted, intermediates, crls, crlStrength } = policy.credentials ?? noCredentials;
  return {
    trusted,
    intermediates: [...others, ...intermediates],
    crls: [...crls, ...revocation.crls],
    crlProblems: revocation.problems,
    crlStrength,
    nowMs,
    authorities: certificateMethods(policy).map(({ authority }) => authority),
    id,
  };
}

export interface ReceivedCertificates {
  /** The peer's own first. */
  readonly certificates: readonly Certificate[];
  /** What is wrong with those left out. */
  readonly unreadable: readonly string[];
}

/**
 * All certificates of a message. A CRL or another kind of certificate among them is ignored, and one of the others that
 * cannot be read: a sender may add its whole chain, with a root older than all rules. Throws `ExchangeError`
 * (`certificate-refused`) when the first, which stands for the peer itself, or all of a PKCS#7 cannot be read.
 */
export function receivedCertificates(chain: PayloadChain): ReceivedCertificates {
  const encoded: { readonly der: Uint8Array; readonly wrapped: boolean }[] = [];
  for (const { payload } of findPayloads(chain, 'cert')) {
    const { encoding, data } = payload;
    if (encoding === x509 || encoding === certificateEncodings['X509-KEY-EXCHANGE'])
      encoded.push({ der: data, wrapped: false });
    if (encoding === pkcs7)
      encoded.push(...orRefuse(() => certificatesOfPkcs7(data)).map(der => ({ der, wrapped: true })));
  }
  const certificates: Certificate[] = [];
  const errors: CertificateError[] = [];
  for (const [index, { der, wrapped }] of encoded.slice(0, maxCertificates).entries()) {
    try {
      certificates.push(parseCertificate(der));
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      if (index === 0 && !wrapped) throw unreadableError(error);
      errors.push(error);
    }
  }
  const [first] = errors;
  if (first !== undefined && certificates.length === 0) throw unreadableError(first);
  return { certificates: leafFirst(certificates), unreadable: errors.map(({ message }) => message) };
}

/** PKCS#7 is a set, in DER's order: the leaf is the one that issued no other. */
function leafFirst(certificates: readonly Certificate[]): Certificate[] {
  const issuers = new Set(certificates.map(({ issuer }) => Buffer.from(issuer.der).toString('hex')));
  const isIssuer = ({ subject }: Certificate) => issuers.has(Buffer.from(subject.der).toString('hex'));
  return [...certificates.filter(certificate => !isIssuer(certificate)), ...certificates.filter(isIssuer)];
}

function orRefuse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof CertificateError) throw unreadableError(error);
    throw error;
  }
}

function unreadableError({ message }: CertificateError): ExchangeError {
  return new ExchangeError('certificate-refused', `the peer's certificate cannot be read: ${message}`);
}

function describeChain({ chain }: CertificateVerdict): string {
  return chain.map(({ subject }) => subject.text).join(' <- ');
}
