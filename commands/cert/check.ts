import { existsSync } from 'node:fs';
import { Args, Flags } from '@oclif/core';
import { CertificateStore } from '../../src/agent/certificate-store.js';
import { parseIdentity } from '../../src/agent/identity-text.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { atFlag, crlCheckFlag, passphraseFileFlag, timeOf } from '../../src/cli/certificate-flags.js';
import { type CertificateInfo, certificateInfo } from '../../src/cli/certificate-text.js';
import { readCredentials, requireOne } from '../../src/cli/credential-files.js';
import {
  type CertificateTest,
  checkCertificate,
  testRow,
  testTitles,
} from '../../src/crypto/certificates/chain.js';
import { checkedId } from '../../src/ike/identity.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { errorClasses } from '../../src/report/errors.js';

interface Check {
  readonly passed: boolean;
  readonly chain: readonly CertificateInfo[];
  readonly tests: readonly CertificateTest[];
}

export default class CertCheckCommand extends IpseckitCommand<Check> {
  static override summary = 'walk a chain as a peer would, and say of each test whether it passed';
  static override description =
    `Judges the first certificate of the file with the others as intermediates, under the CAs and revocation lists of this machine. Exits ${errorClasses.AUTHENTICATION_FAILED.exitCode} when a test fails.`;
  static override examples = [
    '<%= config.bin %> cert check gw.pem --as gw.example.com',
    '<%= config.bin %> cert check gw --as "C=US, O=Example, CN=gw" --crl-check 2',
  ];
  static override args = {
    certificate: Args.string({ required: true, description: 'file, or the name of an own certificate' }),
  };
  static override flags = {
    as: Flags.string({
      summary: 'identity it must speak for: a distinguished name, host name, user@name or address',
      helpValue: 'ID',
    }),
    ca: Flags.file({
      summary: 'CA to trust, instead of those of this machine',
      multiple: true,
      multipleNonGreedy: true,
    }),
    authority: Flags.string({
      summary: 'CA that must stand above it, as CERT:"…" in a policy names it',
      helpValue: 'DN',
    }),
    crl: Flags.file({ summary: 'further revocation list', multiple: true, multipleNonGreedy: true }),
    'crl-check': crlCheckFlag(),
    at: atFlag(),
    'passphrase-file': passphraseFileFlag,
  };

  async run(): Promise<Check> {
    const { args, flags } = await this.parse(CertCheckCommand);
    const stored = CertificateStore.ofHome(ipseckitHome()).load();
    const own = existsSync(args.certificate)
      ? undefined
      : stored.own.find(({ name }) => name === args.certificate);
    const certificates =
      own === undefined
        ? (await readCredentials(args.certificate, flags['passphrase-file'])).certificates
        : [own.certificate, ...own.chain];
    for (const problem of stored.problems) this.logToStderr(`note: ${problem.message}`);
    const leaf = requireOne(args.certificate, 'certificate', certificates);
    const files = await Promise.all(
      [...(flags.ca ?? []), ...(flags.crl ?? [])].map(path => readCredentials(path)),
    );
    const authorities = files.slice(0, flags.ca?.length ?? 0).flatMap(file => file.certificates);
    const verdict = checkCertificate(leaf, {
      trusted: flags.ca === undefined ? stored.trusted : authorities,
      intermediates: [...certificates.slice(1), ...stored.intermediates],
      crls: [...stored.crls, ...files.flatMap(({ crls }) => crls)],
      crlStrength: flags['crl-check'] ?? 1,
      nowMs: flags.at === undefined ? Date.now() : timeOf(flags.at),
      ...(flags.authority === undefined ? {} : { authorities: [flags.authority] }),
      ...(flags.as === undefined ? {} : { id: checkedId(parseIdentity(flags.as), leaf.subject) }),
    });
    this.printTable(testTitles, verdict.tests.map(testRow));
    this.print(verdict.passed ? 'All tests passed.' : 'A peer would refuse it.');
    if (!verdict.passed) process.exitCode = errorClasses.AUTHENTICATION_FAILED.exitCode;
    return { passed: verdict.passed, chain: verdict.chain.map(certificateInfo), tests: verdict.tests };
  }
}
