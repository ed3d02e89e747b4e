/** The certificates, CAs and revocation lists that flags name, and those of this machine where they are silent. */
import { existsSync } from 'node:fs';
import { CertificateStore } from '../agent/certificate-store.js';
import type { Credentials, CrlStrength, OwnCertificate } from '../crypto/certificates/credentials.js';
import { ownCertificateOf } from '../crypto/certificates/read-files.js';
import { ipseckitHome } from '../policy/stores/home.js';
import { IpseckitError } from '../report/errors.js';
import { asFileError, readCredentials, requireOne } from './credential-files.js';

export interface CredentialFlagValues {
  /** A file with its chain, or the name of an imported one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly 'passphrase-file'?: string | undefined;
  readonly ca?: readonly string[] | undefined;
  readonly crl?: readonly string[] | undefined;
  readonly 'crl-check'?: CrlStrength | undefined;
}

/** Reads the files. `own` is the one of `--cert` alone where that is given. Throws `IpseckitError`. */
export async function credentialsAtHand(flags: CredentialFlagValues): Promise<Credentials> {
  const stored = CertificateStore.ofHome(ipseckitHome()).load();
  const own = flags.cert === undefined ? stored.own : [await ownNamed(flags.cert, flags, stored.own)];
  const files = await Promise.all(
    (flags.ca ?? []).map(async path => ({ path, ...(await readCredentials(path)) })),
  );
  for (const { path, certificates } of files) requireOne(path, 'certificate', certificates);
  const lists = await Promise.all((flags.crl ?? []).map(path => readCredentials(path)));
  return {
    own,
    trusted: flags.ca === undefined ? stored.trusted : files.flatMap(({ certificates }) => certificates),
    intermediates: stored.intermediates,
    crls: [...(flags.crl === undefined ? stored.crls : []), ...lists.flatMap(list => list.crls)],
    crlStrength: flags['crl-check'] ?? stored.crlStrength,
  };
}

async function ownNamed(
  cert: string,
  flags: CredentialFlagValues,
  stored: readonly (OwnCertificate & { readonly name: string })[],
): Promise<OwnCertificate> {
  const own = existsSync(cert) ? await ownFromFiles(cert, flags) : stored.find(({ name }) => name === cert);
  if (own !== undefined) return own;
  throw new IpseckitError('USAGE', `${cert} is neither a file nor an imported certificate`, {
    next: '"ipseckit cert list" shows the imported ones',
  });
}

async function ownFromFiles(path: string, flags: CredentialFlagValues): Promise<OwnCertificate> {
  const passphraseFile = flags['passphrase-file'];
  const file = await readCredentials(path, passphraseFile);
  const keys = flags.key === undefined ? file : await readCredentials(flags.key, passphraseFile);
  const privateKey = requireOne(flags.key ?? path, 'private key', keys.privateKeys);
  try {
    return ownCertificateOf(file.certificates, privateKey);
  } catch (error) {
    throw asFileError(path, error);
  }
}
