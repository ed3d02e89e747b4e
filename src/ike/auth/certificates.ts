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
  printTest,
} from '../../crypto/certificates/chain.js';
import { noCredentials, type OwnCertificate } from '../../crypto/certificates/credentials.js';
import { certificatesOfPkcs7, pkcs7OfCertificates } from '../../crypto/certificates/pkcs7.js';
import { nameMatchesText } from '../../wire/der/distinguished-name.js';
import { findPayloads, type PayloadChain } from '../../wire/isakmp/message.js';
import { certificateEncodings } from '../../wire/isakmp/numbers.js';
import type { CertPayload, CertReqPayload, IdPayload } from '../../wire/isakmp/payloads.js';
import type { MainModePolicy } from '../api.js';
import type { Context } from '../context.js';
import { ExchangeError } from '../exchange-error.js';
import type { MainMode } from '../main-mode.js';
import { certificateMethods } from './offers.js';

const x509 = certificateEncodings['X509-SIGNATURE'];
const pkcs7 = certificateEncodings.PKCS7;

/** Certificates and requests of one peer looked at; what goes beyond is not a chain but an attack. */
const limits = { certificates: 16, requests: 64 } as const;

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
  for (const { payload } of findPayloads(chain, 'certreq')) {
    if (payload.encoding === pkcs7) mainMode.wantsPkcs7 = true;
    if (payload.authority.length > 0 && mainMode.requestedAuthorities.length < limits.requests)
      mainMode.requestedAuthorities.push(payload.authority.slice());
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

/**
 * The peer's certificate, judged under the policy as speaking for `id`; the verdict stays with the main mode. Throws
 * `ExchangeError`: `no-peer-certificate`, `certificate-refused` with the tests.
 */
export function judgePeerCertificate(
  context: Context,
  mainMode: MainMode,
  chain: PayloadChain,
  id: Pick<IdPayload, 'idType' | 'data'>,
): Certificate {
  const [leaf, ...others] = receivedCertificates(chain);
  if (leaf === undefined)
    throw new ExchangeError('no-peer-certificate', 'the message has no certificate of the peer');
  const verdict = checkCertificate(leaf, chainSettings(mainMode, others, id, context.calendarMs));
  mainMode.peerVerdict = verdict;
  const failed = failedTest(verdict);
  if (failed !== undefined)
    throw new ExchangeError('certificate-refused', `the peer's certificate fails: ${printTest(failed)}`);
  context.progress(mainMode.peer, 'note', 'certificate', describeChain(verdict));
  return leaf;
}

/** What the peer's certificate is judged with: its own intermediates, ours, and all lists at hand. */
export function chainSettings(
  { policy, revocation }: MainMode,
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

/** All certificates of a message, leaf first. A CRL or another kind of certificate among them is ignored. */
export function receivedCertificates(chain: PayloadChain): Certificate[] {
  const encoded: Uint8Array[] = [];
  for (const { payload } of findPayloads(chain, 'cert')) {
    const { encoding, data } = payload;
    if (encoding === x509 || encoding === certificateEncodings['X509-KEY-EXCHANGE']) encoded.push(data);
    if (encoding === pkcs7) encoded.push(...orRefuse(() => certificatesOfPkcs7(data)));
  }
  const [first, ...rest] = encoded.slice(0, limits.certificates);
  if (first === undefined) return [];
  const certificates = [first, ...rest].map(der => orRefuse(() => parseCertificate(der)));
  return leafFirst(certificates);
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
    if (error instanceof CertificateError)
      throw new ExchangeError(
        'certificate-refused',
        `the peer's certificate cannot be read: ${error.message}`,
      );
    throw error;
  }
}

function describeChain({ chain }: CertificateVerdict): string {
  return chain.map(({ subject }) => subject.text).join(' <- ');
}
