import { Args, Flags } from '@oclif/core';
import { AuthorityStore, newSerialNumber } from '../../src/agent/authority-store.js';
import { readBytes } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import {
  alternativeNameFlags,
  alternativeNames,
  hashFlag,
  subjectDer,
  subjectFlag,
  validity,
} from '../../src/cli/certificate-flags.js';
import { type CertificateInfo, certificateInfo, certificateLines } from '../../src/cli/certificate-text.js';
import { asFileError } from '../../src/cli/credential-files.js';
import { refuseKeyFile } from '../../src/cli/refuse-existing.js';
import { parseCertificate } from '../../src/crypto/certificates/certificate.js';
import { makeCertificate } from '../../src/crypto/certificates/make.js';
import { parsePem, printPem } from '../../src/crypto/certificates/pem.js';
import { type CertificateRequest, parseRequest } from '../../src/crypto/certificates/request.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { writeWholeFile } from '../../src/policy/stores/whole-file.js';

/** IKE intermediate (Windows looks for it), server and client authentication: every peer takes one of them. */
const extendedKeyUsage = ['1.3.6.1.5.5.8.2.2', '1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];

export default class CertIssueCommand extends IpseckitCommand<{
  readonly file: string;
  readonly certificate: CertificateInfo;
}> {
  static override summary = 'issue a certificate for a request, by a CA of this machine';
  static override description =
    'Subject and alternative names are those of the request; the flags put others in their place. It ends with the CA at the latest. The file holds the certificate and, behind it, the intermediate CAs above it.';
  static override examples = ['<%= config.bin %> cert issue lab gw.csr --out gw.pem --days 365'];
  static override args = {
    ca: Args.string({ required: true, description: 'name of the CA' }),
    request: Args.string({ required: true, description: 'file with the request (PEM or DER)' }),
  };
  static override flags = {
    out: Flags.file({ summary: 'file for the certificate (PEM)', required: true }),
    subject: subjectFlag,
    ...alternativeNameFlags,
    days: Flags.integer({ summary: 'days it is valid', default: 365, min: 1, max: 36_500 }),
    'crl-uri': Flags.string({
      summary: 'where the CRL of the CA is to be had',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'URI',
    }),
    hash: hashFlag,
  };

  async run() {
    const { args, flags } = await this.parse(CertIssueCommand);
    const authorities = AuthorityStore.ofHome(ipseckitHome());
    const ca = authorities.read(args.ca);
    const request = readRequest(args.request);
    const names = alternativeNames(flags);
    refuseKeyFile(flags.out);
    const der = makeCertificate(
      {
        subject: flags.subject === undefined ? request.subject.der : subjectDer(flags.subject),
        serialNumber: newSerialNumber(),
        ...validity(flags.days, Date.now(), ca.certificate),
        keyUsage: ['digitalSignature', 'keyEncipherment'],
        extendedKeyUsage,
        alternativeNames: names.length > 0 ? names : request.alternativeNames,
        crlUris: flags['crl-uri'] ?? [],
      },
      request.publicKey,
      {
        name: ca.certificate.subject.der,
        privateKey: ca.privateKey.reveal(),
        ...(flags.hash === undefined ? {} : { hash: flags.hash }),
      },
    );
    const certificate = parseCertificate(der);
    await authorities.exclusively(() => authorities.addIssued(ca.name, certificate));
    const intermediates = [ca.certificate, ...ca.chain].filter(
      ({ subject, issuer }) => subject.text !== issuer.text,
    );
    const pem = [certificate, ...intermediates].map(one => printPem('CERTIFICATE', one.der)).join('');
    writeWholeFile(flags.out, pem, 0o644);
    const info = certificateInfo(certificate);
    this.print(...certificateLines(info), `Certificate ${flags.out} is written.`);
    return { file: flags.out, certificate: info };
  }
}

function readRequest(path: string): CertificateRequest {
  const bytes = readBytes(path);
  const pem = parsePem(Buffer.from(bytes).toString('latin1')).find(({ label }) =>
    label.endsWith('CERTIFICATE REQUEST'),
  );
  try {
    return parseRequest(pem?.der ?? bytes);
  } catch (error) {
    throw asFileError(path, error);
  }
}
