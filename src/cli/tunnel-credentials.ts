import { privateKeyPem } from '../agent/certificate-store.js';
import type { TunnelDocument } from '../agent/tunnel.js';
import type { Certificate } from '../crypto/certificates/certificate.js';
import { printPem } from '../crypto/certificates/pem.js';
import { IpseckitError } from '../report/errors.js';
import { credentialsAtHand } from './credentials-at-hand.js';
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
  const { own, trusted, crls, crlStrength } = await credentialsAtHand({ ...flags, cert });
  const [one] = own;
  if (one === undefined) throw new TypeError('--cert without a certificate');
  if (trusted.length === 0)
    throw new IpseckitError('USAGE', 'no CA is trusted here', {
      next: 'name one with --ca, or import one: ipseckit cert import --trust FILE',
    });
  return {
    certificate: pem([one.certificate, ...one.chain]),
    privateKey: privateKeyPem(one.privateKey),
    authorities: pem(trusted),
    crlCheck: crlStrength,
    ...(crls.length === 0 ? {} : { crls: crls.map(({ der }) => printPem('X509 CRL', der)).join('') }),
  };
}

function pem(certificates: readonly Certificate[]): string {
  return certificates.map(({ der }) => printPem('CERTIFICATE', der)).join('');
}
