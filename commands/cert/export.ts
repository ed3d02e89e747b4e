import { writeFileSync } from 'node:fs';
import { Args, Flags } from '@oclif/core';
import { AuthorityStore } from '../../src/agent/authority-store.js';
import { CertificateStore, privateKeyPem } from '../../src/agent/certificate-store.js';
import { askNewSecret } from '../../src/cli/ask-secret.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { passphraseFileFlag } from '../../src/cli/certificate-flags.js';
import { refuseExisting } from '../../src/cli/refuse-existing.js';
import { readSecretFile } from '../../src/cli/secret-file.js';
import { printKey } from '../../src/crypto/certificates/certificate.js';
import { printPem } from '../../src/crypto/certificates/pem.js';
import { fileError } from '../../src/policy/stores/file-error.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { IpseckitError } from '../../src/report/errors.js';

export default class CertExportCommand extends IpseckitCommand<{
  readonly file: string;
  readonly format: string;
}> {
  static override summary = 'export a certificate of this machine, with its private key only on request';
  static override description =
    'PEM holds the certificate and the intermediates above it, DER the certificate alone. PKCS#12 (what Windows imports) holds them with the private key, behind a passphrase. A file with a private key has mode 0600.';
  static override examples = [
    '<%= config.bin %> cert export gw --out gw.pem',
    '<%= config.bin %> cert export gw --format p12 --out gw.p12 --passphrase-file pass',
    '<%= config.bin %> cert export lab --format der --out lab.cer',
  ];
  static override args = {
    name: Args.string({
      required: true,
      description: 'name of an own certificate, or of a CA of this machine',
    }),
  };
  static override flags = {
    out: Flags.file({ summary: 'file to write', required: true }),
    format: Flags.option({
      options: ['pem', 'der', 'p12'] as const,
      summary: 'format of the file',
      default: 'pem' as const,
    })(),
    'with-key': Flags.boolean({ summary: 'put the private key into the PEM file, unprotected' }),
    'passphrase-file': passphraseFileFlag,
  };

  async run() {
    const { args, flags } = await this.parse(CertExportCommand);
    const { format } = flags;
    if (flags['with-key'] && format !== 'pem')
      throw new IpseckitError('CONFLICT', '--with-key goes with --format pem', {
        next: 'PKCS#12 holds the key anyway; DER cannot',
      });
    const home = ipseckitHome();
    const stored = CertificateStore.ofHome(home).load();
    const own =
      stored.own.find(({ name }) => name === args.name) ?? AuthorityStore.ofHome(home).read(args.name);
    const { certificate, chain, privateKey } = own;
    const withKey = format === 'p12' || flags['with-key'];
    if (format === 'p12' && certificate.key.kind !== 'rsa')
      throw new IpseckitError(
        'UNSUPPORTED',
        `PKCS#12 is written for RSA keys only, and this is ${printKey(certificate.key)}`,
        {
          next: 'export it as PEM --with-key, and let openssl make a PKCS#12 file of it',
        },
      );
    if (format === 'p12') {
      const passphraseFile = flags['passphrase-file'];
      const passphrase =
        passphraseFile === undefined
          ? await askNewSecret(`Passphrase for ${flags.out}`)
          : readSecretFile(passphraseFile, 'passphrase');
      // Loaded only here: the library takes a while.
      const { makePkcs12 } = await import('../../src/crypto/certificates/pkcs12.js');
      const top = chain.at(-1) ?? certificate;
      const roots = stored.trusted.filter(root => root !== top && top.signedBy(root.publicKey));
      write(flags.out, makePkcs12(own, roots, args.name, passphrase), 0o600);
    } else if (format === 'der') write(flags.out, certificate.der, 0o644);
    else {
      const pem = [certificate, ...chain].map(({ der }) => printPem('CERTIFICATE', der)).join('');
      write(flags.out, Buffer.from(withKey ? pem + privateKeyPem(privateKey) : pem), withKey ? 0o600 : 0o644);
    }
    this.print(
      `${certificate.subject.text} is written to ${flags.out}${withKey ? ', with its private key' : ''}.`,
    );
    return { file: flags.out, format };
  }
}

function write(path: string, bytes: Uint8Array, mode: number): void {
  refuseExisting(path);
  try {
    writeFileSync(path, bytes, { mode, flag: 'wx' });
  } catch (error) {
    throw fileError('write', path, error);
  }
}
