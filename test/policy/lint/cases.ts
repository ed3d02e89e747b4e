/** For every finding a policy that has it, and for those of the review one beside it that does not. */
import { Secret } from '../../../src/crypto/secret.js';
import type { FindingCode } from '../../../src/policy/findings.js';
import { derivedGuid } from '../../../src/policy/guid.js';
import type { LintContext } from '../../../src/policy/lint/check.js';
import type { NegotiateAction, Policy, Rule } from '../../../src/policy/model.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { policyOf } from '../support.js';

type Bad = readonly [Policy, RegExp];

export interface LintCase {
  readonly bad: Policy;
  readonly message: RegExp;
  /** The nearest policy that is right. */
  readonly good: Policy;
  /** Besides the local address. */
  readonly context?: Partial<LintContext>;
  /** The counter-example, where there is one. */
  readonly counterExample?: string;
}

export const local = ipAddress('192.0.2.10');

const good = policyOf('-w REG -p P -r R -f 0+192.0.2.20 -a PRESHARE:k');
const tunnel = policyOf(
  '-w REG -p P -r out -t 203.0.113.1 -f 10.1.0.0/16=10.2.0.0/16 -a PRESHARE:k',
  '-w REG -p P -r in -t 192.0.2.10 -f 10.2.0.0/16=10.1.0.0/16 -a PRESHARE:k',
);

/** The policy with its first rule changed. */
function withRule(policy: Policy, change: (rule: Rule) => Rule): Policy {
  return { ...policy, rules: policy.rules.map((rule, i) => (i === 0 ? change(rule) : rule)) };
}

function withAction(policy: Policy, change: Partial<NegotiateAction>): Policy {
  return withRule(policy, rule =>
    rule.action.kind === 'negotiate' ? { ...rule, action: { ...rule.action, ...change } } : rule,
  );
}

type FirstFilter = NonNullable<Rule['filterList']>['filters'][number];

function withFilter(policy: Policy, change: Partial<FirstFilter>): Policy {
  return withRule(policy, rule =>
    rule.filterList === undefined
      ? rule
      : {
          ...rule,
          filterList: {
            ...rule.filterList,
            filters: rule.filterList.filters.map(filter => ({ ...filter, ...change })),
          },
        },
  );
}

/** A filter on a network, beside which filters on all its parts, so many of the same size, leave it nothing. */
function narrowAndWide(parts: number): Policy {
  const policy = policyOf(
    '-w REG -p P -r Narrow -f 0=10.1.0.0/255.255.255.252 -n PASS',
    '-w REG -p P -r Wide -f 0=10.1.0.0/255.255.0.0 -n BLOCK',
  );
  const size = (1 << 16) / parts;
  return withRule(policy, rule => {
    const [filter] = rule.filterList?.filters ?? [];
    if (rule.filterList === undefined || filter === undefined) return rule;
    const filters = Array.from({ length: parts }, (_, i) => ({
      ...filter,
      id: derivedGuid('part', String(i)),
      destination: {
        kind: 'subnet' as const,
        address: ipAddress(`10.1.${(i * size) >> 8}.${(i * size) & 0xff}`),
        prefixLength: 32 - Math.log2(size),
      },
    }));
    return { ...rule, filterList: { ...rule.filterList, filters } };
  });
}

const structure = {
  'no-name': [{ ...good, name: ' ' }, /^the policy has no name$/],
  'no-main-mode-methods': [
    { ...good, keyExchange: { ...good.keyExchange, methods: [] } },
    /no main mode methods/,
  ],
  'main-mode-cipher': [
    {
      ...good,
      keyExchange: { ...good.keyExchange, methods: [{ encryption: 'aes128gcm', hash: 'sha1', group: 2 }] },
    },
    /main mode cannot use AES128-GCM/,
  ],
  'main-mode-lifetime': [
    policyOf('-w REG -p P -r R -f 0+* -a P:k -1k 60S'),
    /lifetime of 60 s is very short/,
  ],
  'aggressive-mode': [
    { ...good, keyExchange: { ...good.keyExchange, aggressive: true } },
    /aggressive mode is on: identities, and a hash/,
  ],
  'master-key-pfs': [
    { ...good, keyExchange: { ...good.keyExchange, masterKeyPfs: true } },
    /main mode PFS allows one quick mode, not any number/,
  ],
  'duplicate-rule-id': [
    { ...good, rules: [...good.rules, ...good.rules] },
    /^rule 'R': another rule has the id \{/,
  ],
  'duplicate-rule-name': [
    {
      ...good,
      rules: [
        ...good.rules,
        ...policyOf('-w REG -p P -f 0+192.0.2.9', '-w REG -p P -r r -f 0+192.0.2.21 -a P:k').rules.slice(1),
      ],
    },
    /^rule 'r': another rule has this name/,
  ],
  'several-default-rules': [
    {
      ...good,
      rules: [
        ...policyOf('-w REG -p P -f DEFAULT -a P:k').rules,
        ...policyOf('-w REG -p P -f DEFAULT -a P:k').rules,
      ],
    },
    /several default response rules/,
  ],
  'no-filters': [
    withRule(good, rule => ({ ...rule, filterList: { id: rule.id, filters: [] } })),
    /^rule 'R': its filter list is empty/,
  ],
  'no-methods': [withAction(good, { methods: [] }), /^rule 'R': it has no security methods/],
  'empty-method': [withAction(good, { methods: [{}] }), /neither ESP nor AH/],
  'no-protection': [
    withAction(good, { methods: [{ esp: { encryption: 'null' } }] }),
    /ESP\[NONE,NONE\] neither encrypts nor authenticates/,
  ],
  'combined-with-hash': [
    withAction(good, { methods: [{ esp: { encryption: 'aes128gcm', hash: 'sha1' } }] }),
    /brings its own integrity/,
  ],
  'sequence-without-integrity': [
    withAction(good, { methods: [{ esp: { encryption: 'aes128' }, extendedSequence: true }] }),
    /ESP\[AES128,NONE\] \(ESN\): extended sequence numbers are told by an integrity check/,
  ],
  'duplicate-method': [
    policyOf('-w REG -p P -r R -f 0+* -a P:k -n AH[SHA] AH[SHA]'),
    /AH\[SHA\] stands twice/,
  ],
  'mixed-pfs': [
    policyOf('-w REG -p P -r R -f 0+* -a P:k -n ESP[3DES,SHA]PFS2 ESP[DES,SHA]'),
    /differ in PFS \(2, none\)/,
  ],
  'short-lifetime': [
    policyOf('-w REG -p P -r R -f 0+* -a P:k -n ESP[3DES,SHA]60S'),
    /ESP\[3DES,SHA\]60S rekeys very often/,
  ],
  'no-authentication': [
    withRule(good, rule => ({ ...rule, authentication: [] })),
    /no authentication method/,
  ],
  'not-negotiable': [
    policyOf('-w REG -p P -r R -f 0+* -a KERBEROS'),
    /^rule 'R': KERBEROS authentication is not negotiable yet/,
  ],
  'default-rule-action': [
    withRule(policyOf('-w REG -p P -f DEFAULT -a P:k'), rule => ({
      ...rule,
      action: { id: rule.id, kind: 'block' },
    })),
    /^the default response rule: /,
  ],
  'tunnel-action': [
    withRule(tunnel, rule => ({ ...rule, action: { id: rule.id, kind: 'permit' } })),
    /a tunnel rule cannot permit/,
  ],
  'tunnel-mirrored': [
    withFilter(tunnel, { mirrored: true }),
    /^rule 'out', filter '10\.1\.0\.0\/255\.255\.0\.0\+10\.2\.0\.0\/255\.255\.0\.0': a tunnel's filters have one direction/,
  ],
  'tunnel-selector': [withFilter(tunnel, { protocol: 6 }), /tunnels by protocol or port are not dependable/],
  'tunnel-clear': [withAction(tunnel, { allowFallback: true }), /also takes clear text/],
  'tunnel-partner': [{ ...tunnel, rules: tunnel.rules.slice(0, 1) }, /no tunnel rule covers the way back/],
  'tunnel-same-end': [
    withRule(tunnel, rule => ({
      ...rule,
      tunnelEndpoint: { kind: 'host', address: ipAddress('192.0.2.10') },
    })),
    /same tunnel endpoint, 192\.0\.2\.10/,
  ],
  'unresolved-name': [
    withFilter(good, { destination: { kind: 'dns', name: 'gone', addresses: [] } }),
    /^rule 'R', filter '0\+gone': no address is known for 'gone'/,
  ],
  'mixed-families': [
    withFilter(good, { source: { kind: 'host', address: ipAddress('2001:db8::1') } }),
    /one side is IPv4 and the other IPv6/,
  ],
  'link-local-not-secured': [
    withFilter(good, { destination: { kind: 'host', address: ipAddress('fe80::1') } }),
    /link-local addresses \(fe80::\/10\) mean nothing without an adapter/,
  ],
  'bad-prefix': [
    withFilter(good, { source: { kind: 'subnet', address: ipAddress('10.1.2.3'), prefixLength: 8 } }),
    /10\.1\.2\.3\/8 is not a subnet/,
  ],
  'port-without-protocol': [
    withFilter(good, { protocol: 1, destinationPort: 80 }),
    /ports mean nothing with protocol ICMP/,
  ],
  contradiction: [
    policyOf('-w REG -p P -r a -f 0+* -n PASS', '-w REG -p P -r b -f *=0 -n BLOCK'),
    /^rule 'b', filter '\*=0': this is to block, but rule 'a' is to permit the same traffic/,
  ],
  'duplicate-filter': [
    policyOf('-w REG -p P -r a -f 0+* -n PASS', '-w REG -p P -r b -f *+0 -n PASS'),
    /^rule 'b', filter '\*\+0': rule 'a' covers the same traffic/,
  ],
} satisfies Partial<Record<FindingCode, Bad>>;

const strong = '-1s AES256-SHA256-14 -a PRESHARE:0123456789abcdefghijklmn';
const safe = `-n ESP[AES256,SHA256] ${strong}`;
const peer = (more: string) => policyOf(`-w REG -p P -r R -f 0+192.0.2.20 ${more}`);
const manyMethods = ['3DES', 'DES', 'AES128', 'AES192', 'AES256'].flatMap(cipher =>
  ['MD5', 'SHA', 'SHA256', 'SHA384', 'SHA512'].flatMap(hash =>
    [2, 5, 14].map(group => ({ cipher, hash, group })),
  ),
);
const mainModeList = manyMethods.map(({ cipher, hash, group }) => `${cipher}-${hash}-${group}`);
const quickModeList = manyMethods.map(({ cipher, hash, group }) => `ESP[${cipher},${hash}]${3_600 + group}S`);
const ssh = {
  client: ipAddress('198.51.100.7'),
  clientPort: 50_022,
  server: local,
  serverPort: 22,
};
const networks = (pairs: readonly (readonly [string, string])[], more = '') =>
  policyOf(
    `-w REG -p P -r out -t 203.0.113.1 -f ${pairs.map(([here, there]) => `${here}=${there}`).join(' ')} ${safe} ${more}`,
    `-w REG -p P -r in -t ${local} -f ${pairs.map(([here, there]) => `${there}=${here}`).join(' ')} ${safe} ${more}`,
  );
const onePair = networks([['10.1.0.0/16', '10.2.0.0/16']]);
const twoPairs = [
  ['10.1.0.0/16', '10.2.0.0/16'],
  ['10.1.0.0/16', '10.3.0.0/16'],
] as const;

const review = {
  'not-enforced': {
    bad: policyOf('-w REG -p P -r R -f 198.51.100.1+198.51.100.2 -a P:k'),
    message: /^rule 'R', filter '198\.51\.100\.1\+198\.51\.100\.2': no address of this computer is in it/,
    good,
  },
  shadowed: {
    bad: policyOf(
      '-w REG -p P -r mine -f 0+198.51.100.7 -n BLOCK',
      `-w REG -p P -r this -f ${local}+198.51.100.7 -n PASS`,
    ),
    message:
      /^rule 'this', filter '192\.0\.2\.10\+198\.51\.100\.7': rule 'mine' covers the same outbound traffic on this computer and decides: it is to block$/,
    good: policyOf(
      '-w REG -p P -r mine -f 0+198.51.100.7 -n BLOCK',
      `-w REG -p P -r this -f ${local}+198.51.100.8 -n PASS`,
    ),
    counterExample: '254 192.0.2.10 > 198.51.100.7 out',
  },
  unreachable: {
    bad: policyOf(
      '-w REG -p P -r low -f 0+10.0.0.0/255.255.255.128 -n PASS',
      '-w REG -p P -r high -f 0+10.0.0.128/255.255.255.128 -n PASS',
      '-w REG -p P -r all -f 0+10.0.0.0/255.255.255.0 -n BLOCK',
    ),
    message:
      /^rule 'all', filter '0\+10\.0\.0\.0\/255\.255\.255\.0': it never decides: more specific filters \(of rule 'low', rule 'high'\) cover/,
    good: policyOf(
      '-w REG -p P -r low -f 0+10.0.0.0/255.255.255.128 -n PASS',
      '-w REG -p P -r high -f 0+10.0.0.128/255.255.255.192 -n PASS',
      '-w REG -p P -r all -f 0+10.0.0.0/255.255.255.0 -n BLOCK',
    ),
    counterExample: '254 192.0.2.10 > 10.0.0.0 out',
  },
  overlapping: {
    bad: policyOf(
      '-w REG -p P -r web -f 0+*:80:TCP -n PASS',
      '-w REG -p P -r net -f 0+10.0.0.0/255.0.0.0 -n BLOCK',
    ),
    message:
      /^rule 'web', filter '0\+\*:80:TCP': rule 'net', filter '0\+10\.0\.0\.0\/255\.0\.0\.0', shares some of its traffic and is looked at first: it is to block, this to permit \(and 1 more such pairs in this rule\)$/,
    good: policyOf(
      '-w REG -p P -r web -f 0+10.1.0.0/255.255.0.0:80:TCP -n PASS',
      '-w REG -p P -r net -f 0+10.0.0.0/255.0.0.0 -n BLOCK',
    ),
    counterExample: 'tcp 10.255.255.254:80 > 192.0.2.10:65535 in',
  },
  'lockout-blocked': {
    bad: policyOf('-w REG -p P -r Closed -f 0+* -n BLOCK', '-w REG -p P -r Web -f 0:80+*::TCP -n PASS'),
    message: /^rule 'Closed', filter '0\+\*': this blocks the shell from 198\.51\.100\.7 \(port 22 here\)$/,
    good: policyOf('-w REG -p P -r Closed -f 0+* -n BLOCK', '-w REG -p P -r Ssh -f 0:22+*::TCP -n PASS'),
    context: { shell: ssh },
    counterExample: 'tcp 198.51.100.7:50022 > 192.0.2.10:22 in',
  },
  'lockout-secured': {
    bad: policyOf(`-w REG -p P -r All -f 0+* ${safe}`),
    message:
      /^rule 'All', filter '0\+\*': the shell from 198\.51\.100\.7 .* once 198\.51\.100\.7 has negotiated$/,
    good: policyOf(`-w REG -p P -r All -f 0+* ${safe}`, '-w REG -p P -r Ssh -f 0:22+*::TCP -n PASS'),
    context: { shell: ssh },
    counterExample: 'tcp 198.51.100.7:50022 > 192.0.2.10:22 in',
  },
  'exemption-hole': {
    bad: policyOf('-w REG -p P -r Closed -f *=0::TCP -n BLOCK'),
    message:
      /^rule 'Closed', filter '\*=0::TCP': it is to block Kerberos \(TCP and UDP port 88 at either end\) too, which is exempt/,
    good: policyOf('-w REG -p P -r Closed -f *=0::ICMP -n BLOCK'),
    counterExample: 'tcp 203.0.113.7:88 > 192.0.2.10:40000 in',
  },
  'multicast-in-clear': {
    bad: policyOf(`-w REG -p P -r All -f 0+* ${safe}`),
    message: /^rule 'All', filter '0\+\*': nothing is negotiated for multicast and broadcast/,
    good: policyOf(
      `-w REG -p P -r All -f 0+* ${safe}`,
      '-w REG -p P -r Groups -f 0+224.0.0.0/240.0.0.0 -n BLOCK',
    ),
    context: { noDefaultExempt: 3 },
    counterExample: 'tcp 192.0.2.10:40000 > 224.0.0.251:40000 out',
  },
  'weak-cipher': {
    bad: peer(`-n ESP[AES256,SHA256] ESP[DES,SHA] ${strong}`),
    message:
      /^rule 'R': ESP\[DES,SHA\] encrypts with DES, which anyone with a computer can break; the rule requires privacy, and a peer may agree on this$/,
    good: peer(safe),
  },
  'no-integrity': {
    bad: peer(`-n ESP[AES256,NONE] ${strong}`),
    message: /^rule 'R': ESP\[AES256,NONE\] encrypts without integrity/,
    good: peer(`-n AH[SHA]+ESP[AES256,NONE] ESP[AES128-GCM] ${strong}`),
  },
  'privacy-optional': {
    bad: peer(`-n ESP[AES256,SHA256] AH[SHA] ${strong}`),
    message: /^rule 'R': it does not require privacy: AH\[SHA\] is accepted too/,
    good: peer(`-n AH[SHA] ${strong}`),
  },
  'weak-hash': {
    bad: peer(`-n ESP[AES256,MD5] ${strong}`),
    message: /^rule 'R': ESP\[AES256,MD5\] relies on MD5$/,
    good: peer(safe),
  },
  'weak-main-mode': {
    bad: peer('-1s AES256-SHA256-14 DES-SHA-1 -a PRESHARE:0123456789abcdefghijklmn'),
    message:
      /^main mode accepts DES-SHA-1 \(DES: anyone with a computer can break, group 1: anyone with a computer can break\); the keys/,
    good: peer(safe),
  },
  'lifetime-order': {
    bad: peer(`-n ESP[AES256,SHA256]7200S -1k 3600S ${strong}`),
    message: /^rule 'R': quick modes live 2 h, longer than the main mode they are made under \(1 h\)/,
    good: peer(`-n ESP[AES256,SHA256]3600S -1k 3600S ${strong}`),
  },
  'long-lifetime': {
    bad: peer(`-n ESP[AES256,SHA256]172800S -1k 172800S ${strong}`),
    message: /^rule 'R': ESP\[AES256,SHA256\]172800S uses its keys for 2 days$/,
    good: peer(`-n ESP[AES256,SHA256]86400S -1k 172800S ${strong}`),
  },
  'too-much-data': {
    bad: peer(`-n ESP[3DES,SHA]50000000K ${strong}`),
    message: /^rule 'R': ESP\[3DES,SHA\]50000000K protects more than 32 GB with one key/,
    good: peer(`-n ESP[AES256,SHA256]50000000K ESP[3DES,SHA]100000K ${strong}`),
  },
  'large-first-message': {
    bad: peer(`-1s ${mainModeList.join(' ')} -a PRESHARE:0123456789abcdefghijklmn`),
    message:
      /^main mode starts with a message of 2\d\d\d bytes \(75 methods\), over the 1472 that fit a packet/,
    good: peer(
      `-1s ${mainModeList.slice(0, 30).join(' ')} -n ${quickModeList.slice(0, 20).join(' ')} -a P:k`,
    ),
  },
  'empty-key': {
    bad: withRule(good, rule => ({ ...rule, authentication: [{ kind: 'preshared', key: new Secret('') }] })),
    message: /^rule 'R': its preshared key is empty$/,
    good,
  },
  'short-key': {
    bad: peer('-a PRESHARE:secret'),
    message: /^rule 'R': its preshared key has fewer than 20 characters/,
    good: peer(safe),
  },
  'key-white-space': {
    bad: withRule(good, rule => ({
      ...rule,
      authentication: [{ kind: 'preshared', key: new Secret('0123456789abcdefghijklmn\n') }],
    })),
    message: /^rule 'R': its preshared key begins or ends with white space/,
    good: peer(safe),
  },
  'authentication-differs': {
    bad: policyOf(
      '-w REG -p P -r Web -f 0+10.1.0.0/255.255.0.0:80:TCP -a PRESHARE:k',
      '-w REG -p P -r All -f 0+10.1.2.3 -a CERT:"CN=Root"',
    ),
    message: /^rule 'Web': rule 'All', which is looked at first for the same peers \(10\.1.*in another way/,
    good: policyOf(
      '-w REG -p P -r Web -f 0+10.1.0.0/255.255.0.0:80:TCP -a PRESHARE:k CERT:"CN=Root"',
      '-w REG -p P -r All -f 0+10.1.2.3 -a CERT:"CN=Root" PRESHARE:k',
      '-w REG -p P -r Others -f 0+10.2.0.0/255.255.0.0 -a CERT:"CN=Other"',
    ),
  },
  'several-quick-modes': {
    bad: networks(twoPairs),
    message: /^rule 'out': the tunnel to 203\.0\.113\.1 takes 2 quick modes/,
    good: onePair,
  },
  'quick-mode-limit': {
    bad: networks(twoPairs, '-1p'),
    message:
      /^rule 'out': the tunnel to 203\.0\.113\.1 takes 2 quick modes, .* one main mode makes 1: 2 main modes are needed$/,
    good: networks(twoPairs),
  },
  'partly-checked': {
    bad: narrowAndWide(1 << 14),
    message: /^1 filter may be left no packet by others: settling that takes too many look-ups$/,
    good: narrowAndWide(1 << 6),
  },
  'clear-fallback': {
    bad: peer(`-soft ${safe}`),
    message: /^rule 'R': it falls back to clear text towards a peer that gives no sign of IKE \(-soft\)/,
    good: peer(safe),
  },
} satisfies Partial<Record<FindingCode, LintCase>>;

/** One for each finding there is: the type says that none is missing. */
export const lintCases: Readonly<Record<FindingCode, LintCase>> = {
  ...fromStructure(structure),
  ...review,
};

function fromStructure<Code extends string>(cases: Readonly<Record<Code, Bad>>): Record<Code, LintCase> {
  const entries = Object.entries<Bad>(cases).map(([code, [bad, message]]) => [
    code,
    { bad, message, good: code.startsWith('tunnel-') ? tunnel : good },
  ]);
  return Object.fromEntries(entries);
}
