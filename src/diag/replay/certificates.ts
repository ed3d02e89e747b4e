/** The certificates a side of a negotiation has shown, and what the CAs at hand say of them. */
import { hash } from '../../crypto/algorithms.js';
import { type Certificate, printKey } from '../../crypto/certificates/certificate.js';
import { type CertificateVerdict, checkCertificate } from '../../crypto/certificates/chain.js';
import type { Credentials } from '../../crypto/certificates/credentials.js';
import { rsaRecovered } from '../../crypto/rsa-signature.js';

import { otherRole } from './message-record.js';
import type { Phase1Replay, SideSeen } from './phase1.js';
import type { ReplayCertificates, Role } from './report.js';

/** With what certificates are judged. */
export interface Judging {
  readonly credentials: Credentials;
  /** Instead of the time of the capture. */
  readonly atMs?: number;
}

/** The certificates that could be read, of each side that sent any. `startedAtMs` is when the capture began. */
export function certificatesSeen(
  phase1: Phase1Replay,
  startedAtMs: number,
  judging: Judging | undefined,
): ReplayCertificates[] {
  return (['initiator', 'responder'] as const).flatMap(by => {
    const { certificates = [], certificateProblem, signature } = phase1.sides[by];
    if (certificates.length === 0 && certificateProblem === undefined && signature === undefined) return [];
    const judged =
      judging !== undefined && judging.credentials.trusted.length > 0
        ? judgeCertificate(phase1, by, startedAtMs, judging)
        : undefined;
    return [
      {
        by,
        chain: certificates.map(describe),
        ...(judged === undefined ? {} : { verdict: { passed: judged.passed, tests: judged.tests } }),
        notes: notesOn(phase1, by),
      },
    ];
  });
}

/** How `checkCertificate` judges what a side has shown; with `authorities`, as those a policy names. */
export function judgeCertificate(
  phase1: Phase1Replay,
  by: Role,
  startedAtMs: number,
  { credentials, atMs }: Judging,
  authorities?: readonly string[],
): CertificateVerdict | undefined {
  const { certificates = [], id, provedAtSeconds = 0 } = phase1.sides[by];
  const [leaf, ...others] = certificates;
  if (leaf === undefined) return undefined;
  return checkCertificate(leaf, {
    trusted: credentials.trusted,
    intermediates: [...others, ...credentials.intermediates],
    crls: credentials.crls,
    crlStrength: credentials.crlStrength,
    nowMs: atMs ?? startedAtMs + provedAtSeconds * 1000,
    ...(authorities === undefined ? {} : { authorities }),
    ...(id === undefined ? {} : { id: id.payload }),
  });
}

function describe(certificate: Certificate): ReplayCertificates['chain'][number] {
  const { subject, issuer, key, serialNumber, notBeforeMs, notAfterMs, fingerprint } = certificate;
  return {
    subject: subject.text,
    issuer: issuer.text,
    key: printKey(key),
    ...{ serialNumber, notBeforeMs, notAfterMs, fingerprint },
  };
}

function notesOn(phase1: Phase1Replay, by: Role): string[] {
  const side = phase1.sides[by];
  const { certificates = [], certificateProblem } = side;
  const [leaf] = certificates;
  const { authorities } = phase1.sides[otherRole[by]];
  if (leaf === undefined)
    return [
      certificateProblem ??
        `it signs, and sends no certificate${authorities.length === 0 ? ', for none was asked for' : ''}: the other side must have it already`,
    ];
  const isAsked =
    authorities.length === 0 || certificates.some(({ issuer }) => authorities.includes(issuer.text));
  return [
    ...(certificateProblem === undefined ? [] : [certificateProblem]),
    ...(isAsked ? [] : [`none of them is under a CA the other side asked for (${authorities.join('; ')})`]),
    ...signatureNote(phase1, side, leaf),
  ];
}

/** What is signed takes the Diffie-Hellman secret; whose key signed it shows in RSA all the same. */
function signatureNote(
  { method }: Phase1Replay,
  { signature }: SideSeen,
  { publicKey, key }: Certificate,
): string[] {
  if (signature === undefined || method === undefined || key.kind !== 'rsa') return [];
  const isOwn = rsaRecovered(publicKey, signature)?.length === hash(method.hash).digestBytes;
  return [
    isOwn
      ? 'the signature was made with the key of this certificate'
      : 'the signature was not made with the key of this certificate',
  ];
}
