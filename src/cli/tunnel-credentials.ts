import { existsSync } from 'node:fs';
import { CertificateStore, privateKeyPem } from '../agent/certificate-store.js';
import type { TunnelDocument } from '../agent/tunnel.js';
import type { Certificate } from '../crypto/certificates/certificate.js';
import type { OwnCertificate } from '../crypto/certificates/credentials.js';
import { printPem } from '../crypto/certificates/pem.js';
import { ownCertificateOf } from '../crypto/certificates/read-files.js';
import { ipseckitHome } from '../policy/stores/home.js';
import { IpseckitError } from '../report/errors.js';
import { asFileError, readCredentials, requireOne } from './credential-files.js';
import { readSecretFile } from './secret-file.js';
import type { TunnelFlagValues } from './tunnel-flags.js';

type TunnelCredentials = Pick<
  TunnelDocument,
  'presharedKey' | 'certificate' | 'privateKey' | 'authorities' | 'crls' | 'crlCheck'
>;

/** The fields of a tunnel document that authenticate it: all files are read here. Throws `IpseckitError`. */
export async function tunnelCredentials(flags: TunnelFlagValues): Promise<TunnelCredentials> {
  const pskFile = flags['psk-file'];
  return {
    ...(pskFile === undefined ? {} : { presharedKey: readSecretFile(pskFile).reveal() }),
    ...(flags.cert === undefined ? {} : await certificateFields(flags.cert, flags)),
  };
}

async function certificateFields(cert: string, flags: TunnelFlagValues): Promise<TunnelCredentials> {
  const stored = CertificateStore.ofHome(ipseckitHome()).load();
  const own = existsSync(cert)
    ? await ownFromFiles(cert, flags)
    : stored.own.find(({ name }) => name === cert);
  if (own === undefined)
    throw new IpseckitError('USAGE', `${cert} is neither a file nor an imported certificate`, {
      next: '"ipseckit cert list" shows the imported ones',
    });
  const files = await Promise.all(
    (flags.ca ?? []).map(async path => ({ path, ...(await readCredentials(path)) })),
  );
  for (const { path, certificates } of files) requireOne(path, 'certificate', certificates);
  const trusted = flags.ca === undefined ? stored.trusted : files.flatMap(({ certificates }) => certificates);
  if (trusted.length === 0)
    throw new IpseckitError('USAGE', 'no CA is trusted here', {
      next: 'name one with --ca, or import one: ipseckit cert import --trust FILE',
    });
  const lists = await Promise.all((flags.crl ?? []).map(path => readCredentials(path)));
  const crls = [...(flags.crl === undefined ? stored.crls : []), ...lists.flatMap(list => list.crls)];
  return {
    certificate: pem([own.certificate, ...own.chain]),
    privateKey: privateKeyPem(own.privateKey),
    authorities: pem(trusted),
    crlCheck: flags['crl-check'] ?? stored.crlStrength,
    ...(crls.length === 0 ? {} : { crls: crls.map(({ der }) => printPem('X509 CRL', der)).join('') }),
  };
}

async function ownFromFiles(path: string, flags: TunnelFlagValues): Promise<OwnCertificate> {
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

function pem(certificates: readonly Certificate[]): string {
  return certificates.map(({ der }) => printPem('CERTIFICATE', der)).join('');
}
