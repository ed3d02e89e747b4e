/** Why negotiations fail: one table of reasons with their Windows code and what to do next, and who is told. */
import { type CertificateTest, type CertificateVerdict, failedTest } from '../crypto/certificates/chain.js';
import type { IpAddress } from '../wire/ip/address.js';
import { nameOf, notifyTypes } from '../wire/isakmp/numbers.js';
import type { AttributeMismatch, FailureReason, NegotiationFailure } from './api.js';

/** Win32 error of a main mode that may make no more quick modes. */
export const quickModeLimitCode = 13884;

/** Reasons as data: Win32 error of [MS-ERREF] (ike.md 8.4), and the advice. */
const reasons: Readonly<Record<FailureReason, { readonly windowsCode: number; readonly next: string }>> = {
  'no-response': {
    windowsCode: 13805,
    next: 'Check that the peer is up, runs IKE, and that UDP ports 500 and 4500 are open on the way.',
  },
  'no-policy': {
    windowsCode: 13825,
    next: 'Assign a policy whose rule covers this peer and this traffic.',
  },
  'authentication-differs': {
    windowsCode: 13825,
    next: 'Give the rules for this peer the same authentication methods, on both sides, or make the peer negotiate a main mode for each.',
  },
  'no-proposal-chosen': {
    windowsCode: 13868,
    next: 'Give both sides a security method in common (algorithms, group, PFS and mode must agree).',
  },
  'authentication-failed': {
    windowsCode: 13801,
    next: 'Check the credentials of both sides.',
  },
  'preshared-keys-differ': {
    windowsCode: 13801,
    next: 'Compare the preshared keys of both sides, including case and trailing spaces.',
  },
  'authentication-unsupported': {
    windowsCode: 13806,
    next: 'Use a preshared key or a certificate: Kerberos is not negotiable yet.',
  },
  'no-certificate': {
    windowsCode: 13806,
    next: 'Import a certificate with its private key under that CA ("ipseckit cert import"; "cert list" shows what is there).',
  },
  'no-peer-certificate': {
    windowsCode: 13847,
    next: 'Make the peer send its certificate.',
  },
  'certificate-refused': {
    windowsCode: 13801,
    next: 'Check the certificates, CAs, CRLs and clocks of both sides; "ipseckit cert check FILE --as ID" shows each test.',
  },
  'invalid-signature': {
    windowsCode: 13826,
    next: 'Check that the peer has the private key that belongs to its certificate.',
  },
  'invalid-id': {
    windowsCode: 13869,
    next: 'Make the filters of both sides mirror images, and check the identity that is expected of the peer.',
  },
  'xauth-failed': {
    windowsCode: 13801,
    next: 'Check the user name and the password; a one-time password counts once.',
  },
  'no-address': {
    windowsCode: 13816,
    next: 'Check the address pool of the gateway; take the tunnel down and up again.',
  },
  'address-lost': {
    windowsCode: 13816,
    next: 'Give the address back, or take the tunnel down and up again without --local.',
  },
  'invalid-key-exchange': {
    windowsCode: 13822,
    next: 'Check the peer: its Diffie-Hellman value is unusable.',
  },
  malformed: { windowsCode: 13843, next: 'Check the peer: it sent a message that cannot be right.' },
  'quick-mode-limit': {
    windowsCode: quickModeLimitCode,
    next: 'Nothing, or make the peer negotiate a main mode for each quick mode: the policy wants it so.',
  },
  'peer-refused': { windowsCode: 13816, next: "Look into the peer's log for its reason." },
  'peer-deleted': { windowsCode: 13807, next: "Look into the peer's log for why it ended the connection." },
  'dead-peer': { windowsCode: 13813, next: 'Check that the peer is up and reachable.' },
  'policy-changed': { windowsCode: 13849, next: 'Nothing: traffic negotiates anew under the new policy.' },
  cancelled: { windowsCode: 13816, next: 'Start it again when it is wanted.' },
  expired: { windowsCode: 13885, next: 'Nothing: traffic negotiates anew.' },
};

/** The parts of a failure that its place in the code knows; the table above adds the rest. */
export interface FailureFacts {
  readonly mode: 'main' | 'quick';
  readonly local: IpAddress;
  readonly peer: IpAddress;
  readonly point: 'me' | 'peer';
  readonly reason: FailureReason;
  readonly text: string;
  readonly message?: string;
  /** Type of the notification the peer sent. */
  readonly notifyType?: number;
  readonly mismatches?: readonly AttributeMismatch[];
  /** What was found of the peer's certificate, when that decided. */
  readonly verdict?: CertificateVerdict;
}

/** Win32 errors of single tests of a certificate; the others are the reason's. */
const windowsCodeOfTest: Partial<Record<CertificateTest['test'], number>> = {
  authority: 13887,
  key: 13881,
  revocation: 13848,
};

export function failure({ notifyType, verdict, ...facts }: FailureFacts): NegotiationFailure {
  const failed = verdict && failedTest(verdict);
  const windowsCode = failed && windowsCodeOfTest[failed.test];
  return {
    ...facts,
    ...reasons[facts.reason],
    ...(windowsCode === undefined ? {} : { windowsCode }),
    ...(verdict === undefined ? {} : { certificateTests: verdict.tests }),
    ...(notifyType === undefined
      ? {}
      : { notify: { type: notifyType, name: nameOf(notifyTypes, notifyType) } }),
  };
}

/** What the peer's error notification means for us. */
export function reasonOfNotify(notifyType: number): FailureReason {
  switch (notifyType) {
    case notifyTypes['NO-PROPOSAL-CHOSEN']:
    case notifyTypes['ATTRIBUTES-NOT-SUPPORTED']:
    case notifyTypes['BAD-PROPOSAL-SYNTAX']:
      return 'no-proposal-chosen';
    case notifyTypes['INVALID-ID-INFORMATION']:
      return 'invalid-id';
    case notifyTypes['INVALID-KEY-INFORMATION']:
      return 'invalid-key-exchange';
    case notifyTypes['AUTHENTICATION-FAILED']:
    case notifyTypes['INVALID-HASH-INFORMATION']:
      return 'authentication-failed';
    case notifyTypes['INVALID-CERT-ENCODING']:
    case notifyTypes['INVALID-CERTIFICATE']:
    case notifyTypes['CERT-TYPE-UNSUPPORTED']:
    case notifyTypes['INVALID-CERT-AUTHORITY']:
      return 'certificate-refused';
    case notifyTypes['CERTIFICATE-UNAVAILABLE']:
      return 'no-peer-certificate';
    case notifyTypes['INVALID-SIGNATURE']:
      return 'invalid-signature';
    default:
      return 'peer-refused';
  }
}

/** The notification that tells the peer of a failure of ours. */
export function notifyOfReason(reason: FailureReason): number {
  switch (reason) {
    case 'no-policy':
    case 'no-proposal-chosen':
    case 'authentication-unsupported':
    case 'no-certificate':
    case 'quick-mode-limit':
      return notifyTypes['NO-PROPOSAL-CHOSEN'];
    case 'invalid-id':
    case 'authentication-differs':
      return notifyTypes['INVALID-ID-INFORMATION'];
    case 'invalid-key-exchange':
      return notifyTypes['INVALID-KEY-INFORMATION'];
    case 'no-peer-certificate':
      return notifyTypes['CERTIFICATE-UNAVAILABLE'];
    case 'certificate-refused':
      return notifyTypes['INVALID-CERTIFICATE'];
    case 'invalid-signature':
      return notifyTypes['INVALID-SIGNATURE'];
    default:
      return notifyTypes['PAYLOAD-MALFORMED'];
  }
}

/** `proposal 1 transform 2: encryption DES offered, 3DES wanted; group …`, at most three of them. */
export function printMismatches(mismatches: readonly AttributeMismatch[]): string {
  const shown = mismatches.slice(0, 3).map(({ proposal, transform, attribute, wanted, offered }) => {
    const where = transform === 0 ? `proposal ${proposal}` : `proposal ${proposal} transform ${transform}`;
    return `${where}: ${attribute} ${offered} offered, ${wanted} wanted`;
  });
  if (mismatches.length > shown.length) shown.push(`${mismatches.length - shown.length} more`);
  return shown.join('; ');
}
