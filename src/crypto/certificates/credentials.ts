/** What a host authenticates itself with by certificate, and whom it trusts. */
import type { KeyObject } from 'node:crypto';
import { nameMatchesText } from '../../wire/der/distinguished-name.js';
import type { Secret } from '../secret.js';
import type { Certificate } from './certificate.js';
import type { Crl } from './crl.js';

export interface OwnCertificate {
  readonly certificate: Certificate;
  /** The intermediates above it, nearest first. They are sent along; the root is not. */
  readonly chain: readonly Certificate[];
  readonly privateKey: Secret<KeyObject>;
}

/** Windows' StrongCrlCheck: 0 does not look, 1 refuses what is known to be revoked, 2 also what no CRL clears. */
export const crlStrengths = [0, 1, 2] as const;

export type CrlStrength = (typeof crlStrengths)[number];

/**
 * The credentials of a host at one moment. Whoever reads the files builds it anew when they change.
 */
export interface Credentials {
  /** Preferred first. */
  readonly own: readonly OwnCertificate[];
  /** Root CAs. */
  readonly trusted: readonly Certificate[];
  /** CAs known without being sent by a peer; trusted only under a root. */
  readonly intermediates: readonly Certificate[];
  readonly crls: readonly Crl[];
  readonly crlStrength: CrlStrength;
}

export const noCredentials: Credentials = {
  own: [],
  trusted: [],
  intermediates: [],
  crls: [],
  crlStrength: 1,
};

/** Whether an own certificate stands under the CA of that name, as far as its chain tells. */
export function isUnderAuthority({ certificate, chain }: OwnCertificate, authority: string): boolean {
  return [certificate, ...chain].some(({ issuer }) => nameMatchesText(issuer, authority));
}
