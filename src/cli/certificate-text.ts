import { type Certificate, printKey } from '../crypto/certificates/certificate.js';
import { day } from '../crypto/certificates/crl.js';
import { printAlternativeName } from '../crypto/certificates/identity.js';

/** A certificate as commands show it, without its bytes. */
export interface CertificateInfo {
  readonly subject: string;
  readonly issuer: string;
  readonly serialNumber: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly key: string;
  readonly alternativeNames: readonly string[];
  /** SHA-256, hexadecimal. */
  readonly fingerprint: string;
}

export function certificateInfo(certificate: Certificate): CertificateInfo {
  const { subject, issuer, serialNumber, notBeforeMs, notAfterMs, key, alternativeNames, fingerprint } =
    certificate;
  return {
    subject: subject.text,
    issuer: issuer.text,
    serialNumber,
    notBeforeMs,
    notAfterMs,
    key: printKey(key),
    alternativeNames: alternativeNames.map(printAlternativeName),
    fingerprint,
  };
}

/** `2025-01-01 to 2026-01-01`. */
export function validityText({ notBeforeMs, notAfterMs }: CertificateInfo): string {
  return `${day(notBeforeMs)} to ${day(notAfterMs)}`;
}

/** The lines that describe one certificate. */
export function certificateLines(info: CertificateInfo): string[] {
  return [
    `subject  ${info.subject}`,
    `issuer   ${info.issuer}`,
    `names    ${info.alternativeNames.join(', ') || '-'}`,
    `valid    ${validityText(info)}`,
    `key      ${info.key}`,
    `serial   ${info.serialNumber}`,
    `SHA-256  ${info.fingerprint}`,
  ];
}
