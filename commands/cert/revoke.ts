import { existsSync } from 'node:fs';
import { Args, Flags } from '@oclif/core';
import { AuthorityStore } from '../../src/agent/authority-store.js';
import { CertificateStore } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { readCredentials, requireOne } from '../../src/cli/credential-files.js';
import { refuseKeyFile } from '../../src/cli/refuse-existing.js';
import { parseCrl } from '../../src/crypto/certificates/crl.js';
import { makeCrl } from '../../src/crypto/certificates/make.js';
import { printPem } from '../../src/crypto/certificates/pem.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { writeWholeFile } from '../../src/policy/stores/whole-file.js';
import { IpseckitError } from '../../src/report/errors.js';

const dayMs = 86_400_000;

export default class CertRevokeCommand extends IpseckitCommand<{
  readonly crl: string;
  readonly revoked: readonly string[];
}> {
  static override summary = 'revoke certificates of a CA of this machine, and write its new revocation list';
  static override description =
    'Without certificates the list is written anew with what it holds, for it goes out of date. It takes effect on this machine; others import it with "cert import".';
  static override examples = ['<%= config.bin %> cert revoke lab stolen.pem --out lab.crl'];
  static override strict = false;
  static override args = {
    ca: Args.string({ required: true, description: 'name of the CA' }),
    certificate: Args.string({
      description: 'file of a certificate, or a serial number; several may follow',
    }),
  };
  static override flags = {
    out: Flags.file({ summary: 'file for the list (PEM) besides the one in the store' }),
    days: Flags.integer({ summary: 'days until the next list', default: 30, min: 1, max: 3650 }),
  };

  async run() {
    const { args, flags, argv } = await this.parse(CertRevokeCommand);
    if (flags.out !== undefined) refuseKeyFile(flags.out);
    const authorities = AuthorityStore.ofHome(ipseckitHome());
    const words = argv.slice(1).map(String);
    const { added, revoked, der, crlNumber, file } = await authorities.exclusively(() =>
      revoke(authorities, args.ca, words, flags.days),
    );
    if (flags.out !== undefined) writeWholeFile(flags.out, printPem('X509 CRL', der), 0o644);
    this.print(
      ...added.map(serialNumber => `revoked  ${serialNumber}`),
      `List ${crlNumber} of CA '${args.ca}' holds ${revoked.length} certificates: ${flags.out ?? file}`,
    );
    return { crl: flags.out ?? file, revoked: revoked.map(({ serialNumber }) => serialNumber) };
  }
}
/** Makes and remembers the CA's next list, with these certificates on it. */
async function revoke(authorities: AuthorityStore, name: string, words: readonly string[], days: number) {
  const ca = authorities.read(name);
  const nowMs = Date.now();
  const serials = await Promise.all(words.map(word => serialOf(word, ca.record.issued)));
  const known = new Set(ca.record.revoked.map(({ serialNumber }) => serialNumber));
  const added = [...new Set(serials)].filter(serialNumber => !known.has(serialNumber));
  const revoked = [
    ...ca.record.revoked,
    ...added.map(serialNumber => ({ serialNumber, revokedAtMs: nowMs })),
  ];
  const crlNumber = ca.record.crlNumber + 1;
  const der = makeCrl(
    { number: crlNumber, thisUpdateMs: nowMs, nextUpdateMs: nowMs + days * dayMs, revoked },
    { name: ca.certificate.subject.der, privateKey: ca.privateKey.reveal() },
  );
  authorities.writeRecord(name, { ...ca.record, crlNumber, revoked });
  const file = CertificateStore.ofHome(ipseckitHome()).addCrl(parseCrl(der));
  return { added, revoked, der, crlNumber, file };
}

async function serialOf(word: string, issued: readonly { readonly serialNumber: string }[]): Promise<string> {
  const serialNumber = existsSync(word)
    ? requireOne(word, 'certificate', (await readCredentials(word)).certificates).serialNumber
    : word
        .toLowerCase()
        .replaceAll(':', '')
        .replace(/^0+(?=.)/, '');
  if (issued.some(certificate => certificate.serialNumber === serialNumber)) return serialNumber;
  throw new IpseckitError('STORE', `${word}: the CA has not issued it`, {
    next: 'name the file of a certificate of this CA, or its serial number ("ipseckit cert list")',
  });
}
