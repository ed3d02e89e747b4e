import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseIpsecpol } from '../../../src/policy/ipsecpol/parse.js';
import { printIpsecpol } from '../../../src/policy/ipsecpol/print.js';
import type { ErrorCode } from '../../../src/report/errors.js';
import { failure, parse, words } from '../support.js';

const printed = (line: string) => printIpsecpol(parseIpsecpol(words(line)), { secrets: 'shown' }).join(' ');

describe('documented command lines', () => {
  // The worked examples of the tool's documentation, and what each is canonically.
  const examples: readonly (readonly [line: string, canonical: string])[] = [
    [
      'ipsecpol -w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP -n BLOCK -x',
      '-w REG -p Block UDP 1434 Filter -r Block Inbound UDP 1434 Rule -f *=0:1434:UDP -n BLOCK -x',
    ],
    [
      'ipsecpol -w REG -p "Block UDP 1434 Filter" -r "Block Outbound UDP 1434 Rule" -f 0=*:1434:UDP -n BLOCK',
      '-w REG -p Block UDP 1434 Filter -r Block Outbound UDP 1434 Rule -f 0=*:1434:UDP -n BLOCK',
    ],
    [
      'ipsecpol -w REG -p "Block TCP 80 Filter" -r "Block Inbound TCP 80 Rule" -f *=0:80:TCP -n BLOCK -x',
      '-w REG -p Block TCP 80 Filter -r Block Inbound TCP 80 Rule -f *=0:80:TCP -n BLOCK -x',
    ],
    [
      'ipsecpol -p "Existing" -w REG -r "Block TCP 80" -f *=0:80:TCP -n BLOCK',
      '-w REG -p Existing -r Block TCP 80 -f *=0:80:TCP -n BLOCK',
    ],
    ['ipsecpol -f [*=0:1434:UDP]', '-f [*=0:1434:UDP]'],
    ['ipsecpol -f [0+*]', '-f [0+*]'],
    ['ipsecpol -f (0:80+*::TCP)', '-f (0:80+*::TCP)'],
    [
      'ipsecpol \\\\192.0.2.7 -f (0:80+*::TCP) (0:443+*::TCP) [0+*]',
      '\\\\192.0.2.7 -f (0:80+*::TCP) (0:443+*::TCP) [0+*]',
    ],
    ['ipsecpol -w REG -p MyPol -y -o', '-w REG -p MyPol -y -o'],
    [
      'ipsecpol -w REG -p MyPol -r Blocker -n BLOCK -x -f 0+*',
      '-w REG -p MyPol -r Blocker -f 0+* -n BLOCK -x',
    ],
    [
      'ipsecpol -x -w reg -p MyPol -r GoICMP -n pass -f 0+*::icmp',
      '-w REG -p MyPol -r GoICMP -f 0+*::ICMP -n PASS -x',
    ],
    [
      'ipsecpol -w REG -p "Packet Filter" -r "mail" -f *+192.0.2.25:110:TCP -f *+192.0.2.25:25:TCP -f 192.0.2.25+*:25:TCP -n PASS',
      '-w REG -p Packet Filter -r mail -f *+192.0.2.25:110:TCP *+192.0.2.25:25:TCP 192.0.2.25+*:25:TCP -n PASS',
    ],
    [
      'ipsecpol -w REG -p VPN -r Host-gw -t 203.0.113.1 -f 192.0.2.10/255.255.255.255=198.51.100.0/255.255.255.0 -n ESP[MD5,3DES]3600S/50000KPFS -a PRESHARE:"secret" -lan -1p',
      '-w REG -p VPN -r Host-gw -f 192.0.2.10=198.51.100.0/255.255.255.0 -n ESP[3DES,MD5]3600S/50000KPFS -t 203.0.113.1 -a PRESHARE:"secret" -lan -1p',
    ],
    ['ipsecpol -w REG -p VPN -x', '-w REG -p VPN -x'],
    ['ipsecpol -w REG -p "Block UDP 1434 Filter" -y', '-w REG -p Block UDP 1434 Filter -y'],
    ['ipsecpol -w REG -p B -r "In Rule" -r "Out Rule" -o', '-w REG -p B -r In Rule -r Out Rule -o'],
    ['ipsecpol -u', '-u'],
    ['ipsecpol \\\\192.0.2.7 -u', '\\\\192.0.2.7 -u'],
    [
      'ipsecpol -f 0+192.0.2.20 -n ESP[3DES,SHA] -a PRESHARE:"k" -1s 3DES-SHA-2',
      '-f 0+192.0.2.20 -n ESP[3DES,SHA] -a PRESHARE:"k" -1s 3DES-SHA-2',
    ],
    ['ipsecpol -p ipsec:1 -w REG -r r -f 0+* -n block', '-w REG -p ipsec:1 -r r -f 0+* -n BLOCK'],
    ['ipsecpol -f 0+* -a CERT:"C=US, O=Example" C:B k', '-f 0+* -a CERT:"C=US, O=Example" CERT:"B" KERBEROS'],
    ['ipsecpol -confirm -f 0+* -soft -1k 10q/3600s', '-f 0+* -soft -1k 10Q/3600S -confirm'],
    ['ipsecpol -f 0+* -1k 3600S -dialup', '-f 0+* -dialup -1k 3600S'],
    ['ipsecpol -w DS:corp.example.com -p P -x', '-w DS:corp.example.com -p P -x'],
    ['ipsecpol -F DEFAULT -N esp[3des,sha] -A p:Key', '-f DEFAULT -n ESP[3DES,SHA] -a PRESHARE:"Key"'],
    ['ipsecpol -f hostA+hostB::6', '-f hostA+hostB::TCP'],
    ['ipsecpol -f 0+10.0.0.1 -1s AES256-SHA256-14 des-md5-1', '-f 0+10.0.0.1 -1s AES256-SHA256-14 DES-MD5-1'],
    ['ipsecpol -f 0+10.0.0.1 -a PRESHARE-FILE:/root/key', '-f 0+10.0.0.1 -a PRESHARE-FILE:"/root/key"'],
  ];
  for (const [line, canonical] of examples)
    test(line, () => {
      assert.equal(printed(line.replace(/^ipsecpol /, '')), canonical);
    });

  test('list flags repeat: -f A B is -f A -f B', () => {
    assert.deepEqual(parse('-f 0+* [0=*] -n BLOCK'), parse('-n BLOCK -f 0+* -f [0=*]'));
  });

  test('help', () => {
    assert.deepEqual(parseIpsecpol([]), { kind: 'help', detail: 'short' });
    for (const word of ['-?', '/?', '--help'])
      assert.deepEqual(parseIpsecpol(['-x', word]), { kind: 'help', detail: 'extended' });
  });
});

describe('filter specs', () => {
  test('this computer with a protocol is no IPv6 address', () => {
    for (const [text, protocol] of [
      ['*=0::6', 6],
      ['*=0::183', 183],
      ['*=0::', 0],
    ] as const) {
      const [filter] = parse(`-f ${text}`).filters;
      assert.ok(filter?.kind === 'traffic');
      assert.deepEqual([filter.destination, filter.protocol], [{ kind: 'me' }, protocol], text);
    }
  });

  const specs: readonly (readonly [spec: string, canonical: string])[] = [
    ['0+*::TCP', '0+*::TCP'],
    ['0:80+*::TCP', '0:80+*::TCP'],
    ['*=0:1434:UDP', '*=0:1434:UDP'],
    [
      '198.51.100.0/255.255.255.0:80=203.0.113.0/24:80:TCP',
      '198.51.100.0/255.255.255.0:80=203.0.113.0/255.255.255.0:80:TCP',
    ],
    ['144.92.*.*=0', '144.92.0.0/255.255.0.0=0'],
    ['128.*=0', '128.0.0.0/255.0.0.0=0'],
    ['128.*.*.*=0', '128.0.0.0/255.0.0.0=0'],
    ['1.2.3.*+0', '1.2.3.0/255.255.255.0+0'],
    ['0/255.255.255.255=*/0.0.0.0', '0=*'],
    ['0.0.0.0/0.0.0.0=0', '*=0'],
    ['192.0.2.77/255.255.255.0=0', '192.0.2.0/255.255.255.0=0'],
    ['0+*::', '0+*'],
    ['0:+*:', '0+*'],
    ['0:0+*:0:0', '0+*'],
    ['0+*::RAW', '0+*::RAW'],
    ['0+*::255', '0+*::RAW'],
    ['0+*::47', '0+*::47'],
    ['host-1.example.com+a_b.example', 'host-1.example.com+a_b.example'],
    ['hostA/255.255.255.0=0', 'hostA/255.255.255.0=0'],
    ['(0:80+*::TCP)', '(0:80+*::TCP)'],
    ['[0+*]', '[0+*]'],
    ['default', 'DEFAULT'],
    ['0+<2001:DB8:0:0::1>', '0+<2001:db8::1>'],
    ['<2001:db8::1>:80=<2001:db8:1::>/48:443:TCP', '<2001:db8::1>:80=<2001:db8:1::>/48:443:TCP'],
    ['[<2001:db8::77>/32+0::58]', '[<2001:db8::>/32+0::58]'],
    ['<::1>/128=<::>/0', '<::1>=<::>/0'],
    ['<::ffff:192.0.2.1>=0', '<::ffff:c000:201>=0'],
  ];
  for (const [spec, canonical] of specs)
    test(spec, () => assert.equal(printIpsecpol(parseIpsecpol(['-f', spec])).join(' '), `-f ${canonical}`));
});

describe('negotiation policies', () => {
  const policies: readonly (readonly [text: string, canonical: string])[] = [
    ['ESP[3DES,SHA]', 'ESP[3DES,SHA]'],
    ['ESP[MD5,3DES]', 'ESP[3DES,MD5]'],
    ['esp[sha1,des]', 'ESP[DES,SHA]'],
    ['ESP[NONE,MD5]', 'ESP[NONE,MD5]'],
    ['ESP[MD5,NONE]', 'ESP[NONE,MD5]'],
    ['ESP[DES,NONE]', 'ESP[DES,NONE]'],
    ['AH[SHA]', 'AH[SHA]'],
    ['AH[MD5]+ESP[3DES,NONE]', 'AH[MD5]+ESP[3DES,NONE]'],
    ['ESP[3DES,SHA]3600S', 'ESP[3DES,SHA]3600S'],
    ['ESP[3DES,SHA]50000k', 'ESP[3DES,SHA]50000K'],
    ['ESP[3DES,SHA]50000K/3600S', 'ESP[3DES,SHA]3600S/50000K'],
    ['ESP[3DES,SHA]3600S/50000KPFS', 'ESP[3DES,SHA]3600S/50000KPFS'],
    ['ESP[3DES,SHA]P', 'ESP[3DES,SHA]PFS'],
    ['ESP[3DES,SHA]p2', 'ESP[3DES,SHA]PFS2'],
    ['AH[SHA]300SPFS1', 'AH[SHA]300SPFS1'],
    ['ESP[AES,SHA256]PFS14', 'ESP[AES128,SHA256]PFS14'],
    ['ESP[AES256-GCM]', 'ESP[AES256-GCM]'],
    ['ESP[NONE,AES128-GCM]', 'ESP[AES128-GCM]'],
    ['ESP[3DES, SHA] 3600S/100000K PFS2', 'ESP[3DES,SHA]3600S/100000KPFS2'],
    ['inpass', 'INPASS'],
  ];
  for (const [text, canonical] of policies)
    test(text, () =>
      assert.equal(
        printIpsecpol(parseIpsecpol(['-f', '0+*', '-n', text])).join(' '),
        `-f 0+* -n ${canonical}`,
      ),
    );
});

describe('errors say what, where and what next', () => {
  const wrong: readonly (readonly [line: string, code: ErrorCode, message: RegExp])[] = [
    [
      '-f 0+*:80:FOO',
      'USAGE',
      /bad filter spec '0\+\*:80:FOO' \(argument 2, column 8\): expected TCP, UDP, ICMP, RAW/,
    ],
    ['-f 0+* -1e 0', 'USAGE', /\(argument 4, column 1\): expected seconds, 1 to 4294967295, found '0'/],
    ['-f 0+*:TCP', 'USAGE', /column 5\): a protocol must follow a port or '::'/],
    ['-f 0:80+*', 'USAGE', /column 3\): a port needs a protocol/],
    ['-f 0+*:80', 'USAGE', /column 5\): a port needs a protocol/],
    ['-f 0+*:80:ICMP', 'USAGE', /column 5\): protocol ICMP has no ports/],
    ['-f 0:80:TCP+*', 'USAGE', /column 6\): a protocol stands on the destination side only/],
    ['-f 0+*:99999:TCP', 'USAGE', /column 5\): expected a port number 0 to 65535, found '99999'/],
    ['-f 0+*::300', 'USAGE', /column 6\): expected .*protocol number 0 to 255, found '300'/],
    ['-f "*=0: PortNumber: Protocol"', 'USAGE', /column 17\)/],
    ['-f 300.1.1.1=0', 'USAGE', /column 1\): expected an octet 0 to 255, found '300'/],
    ['-f 10.1=0', 'USAGE', /column 1\): an address has four octets, this has 2/],
    ['-f 10.*.3.*=0', 'USAGE', /column 6\)/],
    ['-f 10.*/255.0.0.0=0', 'USAGE', /column 6\): octet stars already say the mask/],
    ['-f 1.2.3.4/255.0.255.0=*', 'USAGE', /column 9\): the one bits of the mask are not contiguous/],
    ['-f 1.2.3.4/33=*', 'USAGE', /column 9\): expected a prefix length 0 to 32/],
    ['-f 0/255.0.0.0=*', 'USAGE', /column 3\): 0 is this computer/],
    ['-f 0.0.0.0=0', 'USAGE', /0\.0\.0\.0 is no host/],
    ['-f fe80::1=0', 'USAGE', /argument 2/],
    ['-f 0*', 'USAGE', /column 3\): expected '=' or '\+'/],
    ['-f a=b=c', 'USAGE', /column 4\): a second '=' or '\+'/],
    ['-f [0+*', 'USAGE', /column 5\): expected the closing '\]'/],
    ['-f (0+*]', 'USAGE', /expected the closing '\)'/],
    ['-f ho$t=0', 'USAGE', /expected an address/],
    ['-f', 'USAGE', /-f needs a filter spec/],
    ['-f -n BLOCK', 'USAGE', /-f needs a filter spec/],
    ['-w REG -p P -r', 'USAGE', /-r needs a rule name/],
    ['-w REG -p P:x -r R -f 0+*', 'USAGE', /column 3\): expected a poll interval/],
    ['-w FOO -p P -x', 'USAGE', /expected REG, DS or DS:domain, found 'FOO'/],
    ['-w REG:x -p P -x', 'USAGE', /REG takes no domain/],
    ['-w REG -p P Q -x', 'USAGE', /-p takes one value; surplus word 'Q' \(argument 5\)/],
    ['0+*', 'USAGE', /unknown word '0\+\*' \(argument 1\)/],
    ['-f 0+* -z', 'USAGE', /unknown flag '-z' \(argument 3\)/],
    ['-u now', 'USAGE', /unknown word 'now'/],
    ['-u \\\\host', 'USAGE', /must come first/],
    ['\\\\a/b -u', 'USAGE', /bad computer name/],
    ['-f 0+* -n ESP[3DES]', 'USAGE', /column 9\): expected a cipher and a hash, or NONE/],
    ['-f 0+* -n ESP[3DES,DES]', 'USAGE', /column 10\): expected a hash beside the cipher, found 'DES'/],
    ['-f 0+* -n ESP[MD5,SHA]', 'USAGE', /expected a cipher beside the hash, found 'SHA'/],
    ['-f 0+* -n ESP[FOO,SHA]', 'USAGE', /column 5\): expected a cipher/],
    ['-f 0+* -n AH[3DES]', 'USAGE', /column 4\): expected a hash/],
    ['-f 0+* -n ESP[3DES,SHA]+AH[MD5]', 'USAGE', /AH stands before ESP/],
    ['-f 0+* -n AH[MD5]+', 'USAGE', /column 9\)/],
    ['-f 0+* -n ESP[3DES,SHA]3600', 'USAGE', /column 14\)/],
    ['-f 0+* -n ESP[3DES,SHA]0S', 'USAGE', /expected a number 1 to 4294967295, found '0'/],
    ['-f 0+* -n ESP[3DES,SHA]1S/2S', 'USAGE', /a second limit in S/],
    ['-f 0+* -n ESP[3DES,SHA]PFS3', 'USAGE', /expected a group: 1, 2, 5, 14/],
    ['-f 0+* -n ESP[3DES,SHA]PFSX', 'USAGE', /expected PFS or P/],
    ['-f 0+* -n ESP[AES128-GCM,SHA]', 'USAGE', /brings its own integrity/],
    ['-f 0+* -n FOO', 'USAGE', /expected ESP\[cipher,hash\]/],
    ['-f 0+* -n ESP[NONE,NONE]', 'UNSUPPORTED', /neither|not supported/],
    ['-f 0+* -n INSOFT', 'UNSUPPORTED', /INSOFT is not supported/],
    ['-f 0+2001:db8::1', 'USAGE', /column 3\): an IPv6 address stands in angle brackets/],
    ['-f 2001:db8::/32=0', 'USAGE', /column 1\): an IPv6 address stands in angle brackets/],
    ['-f 0+<2001:db8::1', 'USAGE', /column 15\): expected the closing '>'/],
    ['-f 0+<192.0.2.1>', 'USAGE', /column 4\): expected an IPv6 address, found '192\.0\.2\.1'/],
    ['-f 0+<2001:db8::1>x', 'USAGE', /expected an IPv6 address/],
    ['-f 0+<2001:db8::>/129', 'USAGE', /expected a prefix length 0 to 128, found '129'/],
    ['-f 0+<2001:db8::>/ffff::', 'USAGE', /expected a prefix length/],
    ['-f 0+<2001:db8::>/32/1', 'USAGE', /a second '\/'/],
    ['-f 0+<>', 'USAGE', /expected an IPv6 address, found nothing/],
    ['-f 0=* -t 0.0.0.0', 'USAGE', /0\.0\.0\.0 is no host/],
    ['-f 0+* -1s 3DES-SHA', 'USAGE', /expected cipher-hash-group/],
    ['-f 0+* -1s AES128-GCM-14', 'USAGE', /expected/],
    ['-f 0+* -1s NONE-SHA-2', 'USAGE', /expected a main mode cipher/],
    ['-f 0+* -1s 3DES-SHA-3', 'USAGE', /expected a group/],
    ['-f 0+* -1k 10', 'USAGE', /expected a number with Q or S/],
    ['-f 0+* -1k 10Q -1k 10Q', 'CONFLICT', /-1k stands twice/],
    ['-f 0+* -confirm -w REG -p P', 'CONFLICT', /-confirm and -w exclude each other/],
    ['-w REG -p P -x -y', 'CONFLICT', /-x and -y exclude/],
    ['-w REG -p P -x -o', 'CONFLICT', /-x and -o exclude/],
    ['-f 0+* -lan -dialup', 'CONFLICT', /-lan and -dialup exclude/],
    ['-p P -f 0+*', 'CONFLICT', /^-p needs -w/],
    ['-r R -f 0+*', 'CONFLICT', /^-r needs -w/],
    ['-x', 'CONFLICT', /^-x needs -w/],
    ['-w REG -f 0+*', 'CONFLICT', /-w needs -p/],
    ['-w REG -p P', 'CONFLICT', /nothing to do: -f is missing/],
    ['-n BLOCK', 'CONFLICT', /-n needs -f/],
    ['-1s 3DES-SHA-2', 'CONFLICT', /-f is missing/],
    ['-w REG -p P -r A -r B -f 0+*', 'CONFLICT', /-r stands more than once/],
    ['-w REG -p P -o -f 0+*', 'CONFLICT', /-f and -o exclude/],
    ['-w REG -p P -r R -f [0+*] (0+10.0.0.1)', 'CONFLICT', /mixes plain/],
    ['-f 0+* -n BLOCK PASS', 'CONFLICT', /BLOCK and PASS/],
    ['-f DEFAULT 0+*', 'CONFLICT', /DEFAULT stands beside/],
    ['-f DEFAULT -n BLOCK', 'CONFLICT', /default response rule/],
    ['-f 0+* -t 10.0.0.1', 'CONFLICT', /'\+' and -t exclude/],
    ['-f [0=*] -t 10.0.0.1', 'CONFLICT', /have no tunnel/],
    ['-f 0=* -n PASS -t 10.0.0.1', 'CONFLICT', /have no tunnel/],
  ];
  for (const [line, code, message] of wrong)
    test(line, () => {
      const error = failure(() => parseIpsecpol(words(line)), code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
    });

  test('no message repeats what stands behind -a', () => {
    const secret = 'tOpSecret';
    for (const argv of [
      ['-f', '0+*', '-a', `PRESHAER:${secret}`],
      ['-f', '0+*', '-a', secret],
      ['-f', '0+*', '-a', 'PRESHARE:my', secret],
      ['-f', '0+*', '-a', 'PRESHARE:my', `-${secret}`],
      ['-f', '0+*', '-a', 'PRESHARE:my', `\\\\${secret}`],
      ['-f', '0+*', '-a', `KERBEROS:${secret}`],
    ]) {
      const error = failure(() => parseIpsecpol(argv), 'USAGE');
      assert.ok(!`${error.message} ${error.next} ${JSON.stringify(error)}`.includes(secret), error.message);
    }
  });

  test('a key is printed as a mask unless asked for, and the mask is no key', () => {
    const command = parse('-f 0+* -a PRESHARE:hidden');
    assert.deepEqual(printIpsecpol(command), ['-f', '0+*', '-a', 'PRESHARE:"…"']);
    assert.ok(!JSON.stringify(command).includes('hidden'));
    failure(() => parseIpsecpol(printIpsecpol(command)), 'USAGE');
  });
});
