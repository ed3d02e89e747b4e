import { resolve } from 'node:path';
import { Flags } from '@oclif/core';
import { privateKeyPem } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import {
  alternativeNameFlags,
  alternativeNames,
  hashFlag,
  keyTypeFlag,
  newPrivateKey,
  requiredSubjectFlag,
  subjectDer,
} from '../../src/cli/certificate-flags.js';
import { refuseExisting, refuseKeyFile } from '../../src/cli/refuse-existing.js';
import { makeRequest } from '../../src/crypto/certificates/make.js';
import { printPem } from '../../src/crypto/certificates/pem.js';
import { writeWholeFile } from '../../src/policy/stores/whole-file.js';
import { IpseckitError } from '../../src/report/errors.js';

export default class CertRequestCommand extends IpseckitCommand<{
  readonly request: string;
  readonly key: string;
}> {
  static override summary = 'make a private key and a certification request (PKCS#10) for it';
  static override description =
    'The key file is written with mode 0600. The CA turns the request into a certificate; import that together with the key: cert import CERTIFICATE --key KEY.';
  static override examples = [
    '<%= config.bin %> cert request --subject "C=US, O=Example, CN=gw" --dns gw.example.com --out gw.csr --key-out gw.key',
  ];
  static override flags = {
    subject: requiredSubjectFlag,
    ...alternativeNameFlags,
    'key-type': keyTypeFlag,
    hash: hashFlag,
    out: Flags.file({ summary: 'file for the request (PEM)', required: true }),
    'key-out': Flags.file({ summary: 'file for the private key (PEM, mode 0600)', required: true }),
  };

  async run() {
    const { flags } = await this.parse(CertRequestCommand);
    const name = subjectDer(flags.subject);
    const names = alternativeNames(flags);
    refuseExisting(flags['key-out']);
    if (resolve(flags.out) === resolve(flags['key-out']))
      throw new IpseckitError('CONFLICT', '--out and --key-out name the same file', {
        next: 'the private key needs a file of its own',
      });
    refuseKeyFile(flags.out);
    const privateKey = await newPrivateKey(flags['key-type']);
    const request = makeRequest(names, {
      name,
      privateKey: privateKey.reveal(),
      ...(flags.hash === undefined ? {} : { hash: flags.hash }),
    });
    writeWholeFile(flags['key-out'], privateKeyPem(privateKey));
    writeWholeFile(flags.out, printPem('CERTIFICATE REQUEST', request), 0o644);
    this.print(`Request ${flags.out} and private key ${flags['key-out']} are written.`);
    return { request: flags.out, key: flags['key-out'] };
  }
}
