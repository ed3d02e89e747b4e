import { createPublicKey } from 'node:crypto';
import { Args, Flags } from '@oclif/core';
import { AuthorityStore, newSerialNumber } from '../../src/agent/authority-store.js';
import { CertificateStore } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import {
  hashFlag,
  keyTypeFlag,
  newPrivateKey,
  requiredSubjectFlag,
  subjectDer,
  validity,
} from '../../src/cli/certificate-flags.js';
import { type CertificateInfo, certificateInfo, certificateLines } from '../../src/cli/certificate-text.js';
import { parseCertificate } from '../../src/crypto/certificates/certificate.js';
import { makeCertificate } from '../../src/crypto/certificates/make.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';

export default class CertCaCommand extends IpseckitCommand<{
  readonly name: string;
  readonly certificate: CertificateInfo;
}> {
  static override summary = 'make a certification authority on this machine';
  static override description =
    'Its private key stays in certificates/authorities (mode 0600). A root is trusted on this machine from now on; other machines import its certificate with "cert import --trust". With --issuer it becomes an intermediate CA under one that is here.';
  static override examples = [
    '<%= config.bin %> cert ca lab --subject "C=US, O=Example, CN=Lab Root"',
    '<%= config.bin %> cert ca branch --subject "C=US, O=Example, CN=Branch CA" --issuer lab',
  ];
  static override args = { name: Args.string({ required: true, description: 'what it is called here' }) };
  static override flags = {
    subject: requiredSubjectFlag,
    issuer: Flags.string({ summary: 'CA of this machine that issues it', helpValue: 'CA' }),
    'key-type': keyTypeFlag,
    days: Flags.integer({ summary: 'days it is valid', default: 3650, min: 1, max: 36_500 }),
    'path-length': Flags.integer({ summary: 'CAs allowed below it', min: 0, max: 8 }),
    hash: hashFlag,
  };

  async run() {
    const { args, flags } = await this.parse(CertCaCommand);
    const authorities = AuthorityStore.ofHome(ipseckitHome());
    const issuer = flags.issuer === undefined ? undefined : authorities.read(flags.issuer);
    const subject = subjectDer(flags.subject);
    const privateKey = await newPrivateKey(flags['key-type']);
    const pathLength = flags['path-length'];
    const der = makeCertificate(
      {
        subject,
        serialNumber: newSerialNumber(),
        ...validity(flags.days, Date.now(), issuer?.certificate),
        ca: pathLength === undefined ? {} : { pathLength },
        keyUsage: ['keyCertSign', 'cRLSign'],
      },
      createPublicKey(privateKey.reveal()),
      {
        name: issuer?.certificate.subject.der ?? subject,
        privateKey: (issuer?.privateKey ?? privateKey).reveal(),
        ...(flags.hash === undefined ? {} : { hash: flags.hash }),
      },
    );
    const certificate = parseCertificate(der);
    const chain = issuer === undefined ? [] : [issuer.certificate, ...issuer.chain];
    await authorities.exclusively(() => {
      authorities.create(args.name, { certificate, chain, privateKey });
      if (issuer !== undefined) authorities.addIssued(issuer.name, certificate);
    });
    const store = CertificateStore.ofHome(ipseckitHome());
    store.addAuthority(certificate, issuer === undefined ? 'trusted' : 'intermediates');
    const info = certificateInfo(certificate);
    this.print(
      ...certificateLines(info),
      `CA '${args.name}' is ready: ${authorities.path(args.name, 'pem')}`,
      issuer === undefined
        ? `It is trusted on this machine; in a policy: -a CERT:"${info.subject}"`
        : 'Peers get it together with the certificates it issues.',
    );
    return { name: args.name, certificate: info };
  }
}
