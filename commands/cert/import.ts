import { basename, extname } from 'node:path';
import { Args, Flags } from '@oclif/core';
import { CertificateStore, requireCurrentCrl } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { passphraseFileFlag } from '../../src/cli/certificate-flags.js';
import { asFileError, readCredentials, requireOne } from '../../src/cli/credential-files.js';
import { type Certificate, CertificateError } from '../../src/crypto/certificates/certificate.js';
import { ownCertificateOf } from '../../src/crypto/certificates/read-files.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { IpseckitError } from '../../src/report/errors.js';

interface Imported {
  readonly kind: 'own' | 'trusted' | 'intermediate' | 'crl';
  readonly subject: string;
  readonly file: string;
}

/** What is going to be imported; `write` puts it into the store and returns the file. */
interface Planned extends Omit<Imported, 'file'> {
  write(): string;
}

export default class CertImportCommand extends IpseckitCommand<readonly Imported[]> {
  static override summary = 'import certificates, private keys, CAs and revocation lists';
  static override description =
    'Reads PEM, DER, PKCS#7 and PKCS#12. A certificate whose private key comes with it (or by --key) becomes one of our own; CAs complete chains, and are trusted only with --trust; revocation lists take the place of older ones of their CA. All of the file is imported, or nothing. The running agent uses it at once.';
  static override examples = [
    '<%= config.bin %> cert import root.pem --trust',
    '<%= config.bin %> cert import gw.pem --key gw.key',
    '<%= config.bin %> cert import gw.p12 --passphrase-file pass --trust',
  ];
  static override args = { file: Args.string({ required: true, description: 'file to import' }) };
  static override flags = {
    key: Flags.file({ summary: 'private key of the certificate' }),
    name: Flags.string({ summary: "name of our own certificate; the file's name when left out" }),
    trust: Flags.boolean({ summary: 'trust the self-signed CAs in the file' }),
    'passphrase-file': passphraseFileFlag,
  };

  async run(): Promise<readonly Imported[]> {
    const { args, flags } = await this.parse(CertImportCommand);
    const store = CertificateStore.ofHome(ipseckitHome());
    const file = await readCredentials(args.file, flags['passphrase-file']);
    const keys =
      flags.key === undefined ? [] : (await readCredentials(flags.key, flags['passphrase-file'])).privateKeys;
    if (flags.key !== undefined) requireOne(flags.key, 'private key', keys);
    const planned: Planned[] = [];
    let rest: readonly Certificate[] = file.certificates;
    const [privateKey] = [...keys, ...file.privateKeys];
    if (privateKey !== undefined) {
      const own = orFileError(args.file, () => ownCertificateOf(file.certificates, privateKey));
      const name = flags.name ?? basename(args.file, extname(args.file));
      store.requireFree(name, own.certificate);
      const { text } = own.certificate.subject;
      planned.push({ kind: 'own', subject: text, write: () => store.addOwn(name, own)[0] });
      rest = rest.filter(certificate => certificate !== own.certificate && !own.chain.includes(certificate));
    }
    for (const certificate of rest) planned.push(planAuthority(store, certificate, flags.trust));
    const { trusted, intermediates, crls } = store.load();
    for (const crl of file.crls) {
      requireCurrentCrl(crl, [...trusted, ...intermediates, ...rest], crls);
      planned.push({ kind: 'crl', subject: crl.issuer.text, write: () => store.addCrl(crl) });
    }
    // Nothing is written before all of it is in order.
    const imported = planned.map(({ kind, subject, write }): Imported => ({ kind, subject, file: write() }));
    if (imported.length === 0)
      throw new IpseckitError('USAGE', `${args.file} holds nothing to import`, {
        next: 'name a file with certificates, a private key or a revocation list',
      });
    this.printTable(
      ['Kind', 'Subject', 'File'],
      imported.map(({ kind, subject, file: path }) => [kind, subject, path]),
    );
    return imported;
  }
}

/** A certificate without its key: a CA, or nothing we could use. */
function planAuthority(store: CertificateStore, certificate: Certificate, trust: boolean): Planned {
  const { subject, basicConstraints, publicKey } = certificate;
  const selfSigned = certificate.signedBy(publicKey);
  const plan = (kind: Imported['kind'], folder: 'trusted' | 'intermediates'): Planned => ({
    kind,
    subject: subject.text,
    write: () => store.addAuthority(certificate, folder),
  });
  if (trust && selfSigned) return plan('trusted', 'trusted');
  if (selfSigned)
    throw new IpseckitError('USAGE', `${subject.text} is a root CA, and not trusted yet`, {
      next: 'add --trust if you do trust everything it issues',
    });
  if (basicConstraints?.ca !== true)
    throw new IpseckitError('USAGE', `${subject.text} is not a CA, and its private key is not here`, {
      next: 'give its private key with --key',
    });
  return plan('intermediate', 'intermediates');
}

function orFileError<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof CertificateError ? asFileError(path, error) : error;
  }
}
