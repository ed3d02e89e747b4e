/** A policy with one rule of every kind, for the exporters' tests, on the computer 192.0.2.1. */
import { Secret } from '../../../src/crypto/secret.js';
import { builtinPolicies } from '../../../src/policy/builtin.js';
import { derivedGuid } from '../../../src/policy/guid.js';
import type { Policy } from '../../../src/policy/model.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { policyOf } from '../support.js';

export const localAddresses = [ipAddress('192.0.2.1'), ipAddress('2001:db8::1')];
export const psk = 'sw0rd "fish" 1234';

/** Methods every daemon knows. */
const common = '-n ESP[3DES,SHA]3600S/50000K';
const mainMode = '-1s AES128-SHA-14 3DES-MD5-5 3DES-SHA-2 AES256-SHA256-19';

export const sample: Policy = withKey(
  policyOf(
    `-w REG -p Sample -r "One peer" -f 0+192.0.2.20 ${common} -a PRESHARE:k ${mainMode}`,
    `-w REG -p Sample -r Web -f 0:80+192.0.2.20::TCP 192.0.2.21:80+192.0.2.1::TCP ${common} -a PRESHARE:k`,
    '-w REG -p Sample -r Suites -f 0+192.0.2.30 -n ESP[AES128,SHA256]PFS14 ESP[AES256-GCM]PFS14 AH[SHA]PFS14 AH[MD5]+ESP[DES,SHA]PFS14 -a PRESHARE:other -soft',
    '-w REG -p Sample -r Authentic -f 0+192.0.2.31 -n AH[SHA] AH[MD5] -a KERBEROS PRESHARE:third',
    `-w REG -p Sample -r Out -f 10.1.0.0/16=10.2.0.0/16 -t 198.51.100.7 ${common} -a PRESHARE:gate`,
    `-w REG -p Sample -r Back -f 10.2.0.0/16=10.1.0.0/16 -t 192.0.2.1 ${common} -a PRESHARE:gate`,
    '-w REG -p Sample -r Kerberos -f 0+192.0.2.40 -a KERBEROS',
    '-w REG -p Sample -r Certificate -f 0+192.0.2.41 -n ESP[AES256,SHA256] -a CERT:"C=US, O=Example, CN=Root"',
    '-w REG -p Sample -r Block -f *+0:23:TCP -n BLOCK',
    '-w REG -p Sample -r Permit -f 0+*::ICMP -n PASS',
    '-w REG -p Sample -r "One way" -f *=0:1434:UDP -n BLOCK',
    '-w REG -p Sample -r Lan -f 0+10.0.0.0/8 -n ESP[3DES,MD5] -a PRESHARE:lan -lan',
    '-w REG -p Sample -f DEFAULT -n ESP[3DES,SHA] -a PRESHARE:any',
  ),
);

/** The same kinds of rules for IPv6. */
export const sample6: Policy = policyOf(
  `-w REG -p "Sample 6" -r "One peer" -f 0+<2001:db8::20> ${common} -a PRESHARE:k ${mainMode}`,
  `-w REG -p "Sample 6" -r Web -f <2001:db8::1>:80+<2001:db8::21>::TCP ${common} -a PRESHARE:k`,
  `-w REG -p "Sample 6" -r Out -f <2001:db8:1::>/48=<2001:db8:2::>/48 -t 2001:db8::7 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r Back -f <2001:db8:2::>/48=<2001:db8:1::>/48 -t 2001:db8::1 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r "4 in 6" -f 10.1.0.0/16=10.2.0.0/16 -t 2001:db8::8 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r "4 out of 6" -f 10.2.0.0/16=10.1.0.0/16 -t 2001:db8::1 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r "6 in 4" -f <2001:db8:1::>/48=<2001:db8:3::>/48 -t 198.51.100.9 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r "6 out of 4" -f <2001:db8:3::>/48=<2001:db8:1::>/48 -t 192.0.2.1 ${common} -a PRESHARE:gate`,
  `-w REG -p "Sample 6" -r Network -f 0+<2001:db8:5::>/48 -n ESP[AES128,SHA] -a PRESHARE:lan`,
  '-w REG -p "Sample 6" -r Block -f *+<2001:db8::1>:23:TCP -n BLOCK',
  '-w REG -p "Sample 6" -r Permit -f 0+<2001:db8:9::>/48::ICMP -n PASS',
);

/** All policies a daemon's configuration is checked for. */
export const samples: readonly Policy[] = [
  sample,
  sample6,
  ...Object.values(builtinPolicies(counted())),
  {
    ...policyOf('-w REG -p "IPv6 \\\\ # }" -r R -f 0+192.0.2.20 -a PRESHARE:k'),
    rules: policyOf('-w REG -p x -r "a } b # c" -f 0+192.0.2.20 -n AH[SHA] -a PRESHARE:k').rules.flatMap(
      rule => [
        rule,
        {
          ...rule,
          filterList: {
            id: rule.id,
            filters: (rule.filterList?.filters ?? []).map(filter => ({
              ...filter,
              source: { kind: 'host' as const, address: ipAddress('2001:db8::1') },
              destination: { kind: 'subnet' as const, address: ipAddress('2001:db8:1::'), prefixLength: 48 },
              protocol: 6,
              destinationPort: 443,
            })),
          },
          action: { id: rule.id, kind: 'block' as const },
        },
      ],
    ),
  },
];

function counted() {
  let count = 0;
  return () => derivedGuid('sample', String(++count));
}

/** The key of the peer 192.0.2.20 is one that needs care in every format. */
function withKey(policy: Policy): Policy {
  return {
    ...policy,
    rules: policy.rules.map(rule => ({
      ...rule,
      authentication: rule.authentication.map(method =>
        method.kind === 'preshared' && method.key.reveal() === 'k'
          ? { kind: 'preshared' as const, key: new Secret(psk) }
          : method,
      ),
    })),
  };
}
