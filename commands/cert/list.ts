import { AuthorityStore } from '../../src/agent/authority-store.js';
import { CertificateStore } from '../../src/agent/certificate-store.js';
import { IpseckitCommand } from '../../src/cli/base.js';
import { type CertificateInfo, certificateInfo, validityText } from '../../src/cli/certificate-text.js';
import { day } from '../../src/crypto/certificates/crl.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';

interface CertificateList {
  readonly own: readonly (CertificateInfo & { readonly name: string })[];
  readonly trusted: readonly CertificateInfo[];
  readonly intermediates: readonly CertificateInfo[];
  readonly crls: readonly {
    readonly issuer: string;
    readonly thisUpdateMs: number;
    readonly nextUpdateMs?: number;
    readonly revoked: number;
  }[];
  /** CAs this machine runs, with what they have issued. */
  readonly authorities: readonly {
    readonly name: string;
    readonly certificate: CertificateInfo;
    readonly issued: number;
    readonly revoked: number;
  }[];
  readonly problems: readonly string[];
}

export default class CertListCommand extends IpseckitCommand<CertificateList> {
  static override summary = 'list the certificates, CAs and revocation lists of this machine';

  async run(): Promise<CertificateList> {
    await this.parse(CertListCommand);
    const home = ipseckitHome();
    const { own, trusted, intermediates, crls, ...stored } = CertificateStore.ofHome(home).load();
    const authorities = AuthorityStore.ofHome(home);
    const problems = stored.problems.map(({ message }) => message);
    const list: CertificateList = {
      own: own.map(({ name, certificate }) => ({ name, ...certificateInfo(certificate) })),
      trusted: trusted.map(certificateInfo),
      intermediates: intermediates.map(certificateInfo),
      crls: crls.map(({ issuer, thisUpdateMs, nextUpdateMs, revokedAtMs }) => ({
        issuer: issuer.text,
        thisUpdateMs,
        ...(nextUpdateMs === undefined ? {} : { nextUpdateMs }),
        revoked: revokedAtMs.size,
      })),
      authorities: authorities.names().flatMap(name => {
        try {
          const { certificate, record } = authorities.read(name);
          const [issued, revoked] = [record.issued.length, record.revoked.length];
          return [{ name, certificate: certificateInfo(certificate), issued, revoked }];
        } catch (error) {
          problems.push(`CA '${name}': ${error instanceof Error ? error.message : String(error)}`);
          return [];
        }
      }),
      problems,
    };
    this.#show(list);
    return list;
  }

  #show({ own, trusted, intermediates, crls, authorities, problems }: CertificateList): void {
    const titles = ['Kind', 'Name', 'Subject', 'Issuer', 'Valid', 'Key'];
    const row = (kind: string, name: string, info: CertificateInfo) => [
      kind,
      name,
      info.subject,
      info.subject === info.issuer ? '(itself)' : info.issuer,
      validityText(info),
      info.key,
    ];
    const rows = [
      ...own.map(info => row('own', info.name, info)),
      ...trusted.map(info => row('trusted', '', info)),
      ...intermediates.map(info => row('intermediate', '', info)),
      ...authorities.map(({ name, certificate }) => row('CA of this machine', name, certificate)),
      ...crls.map(({ issuer, thisUpdateMs, nextUpdateMs, revoked }) => [
        'CRL',
        '',
        `${revoked} revoked`,
        issuer,
        `${day(thisUpdateMs)} to ${nextUpdateMs === undefined ? '-' : day(nextUpdateMs)}`,
        '',
      ]),
    ];
    if (rows.length === 0) this.print('There are no certificates. "cert import" and "cert ca" bring some.');
    else this.printTable(titles, rows);
    this.print(...problems.map(problem => `error: ${problem}`));
  }
}
