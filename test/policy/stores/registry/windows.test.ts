/** Stores written by hand as different Windows versions write them: the same policy must come out of each. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { describeFilter } from '../../../../src/policy/describe.js';
import { printIpsecpolMethod, printMainModeMethod } from '../../../../src/policy/ipsecpol/security-method.js';
import { parseStoreFile } from '../../../../src/policy/stores/formats.js';
import { encodeUtf16 } from '../../../../src/policy/stores/text-encoding.js';

const local = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local';
const guid = (n: number) => `{6f6a1e1${n}-0000-4000-a000-0123456789ab}`;
const [policy, isakmp, nfa, action, filter, defaultNfa, defaultAction, second] = [0, 1, 2, 3, 4, 5, 6, 7].map(
  guid,
);

const hex = (text: string) => text.replaceAll(' ', '').match(/../g)?.join(',') ?? '';
const utf16 = (text: string) => Buffer.from(text, 'utf16le').toString('hex');
const multi = (...texts: readonly string[]) => `hex(7):${hex(utf16(`${texts.join('\0')}\0\0`))}`;
const quoted = (text: string) => `"${text.replaceAll('\\', '\\\\')}"`;

interface Style {
  readonly className: string;
  /** The store's path in references. */
  readonly path: string;
  /** What reserved fields hold, as a byte. */
  readonly garbage: string;
  readonly list: (...texts: readonly string[]) => string;
  readonly filterData: string;
  readonly ruleTail: string;
  readonly upper: boolean;
  /** More values of a rule and of the main mode settings. */
  readonly unnamed: (path: string) => string;
}

const spec = (port: string) =>
  `0200000000000200000000000200000000 00${'a0'.repeat(16)}01000000 00000000ffffffff c6336400ffffff00 00000000 06000000 0000${port} 00 00 0000`;

const windows2000: Style = {
  className: 'ClassName',
  path: 'SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local',
  garbage: 'cd',
  list: multi,
  filterData: `b520dc80c82ed111a89e00a0248d3021 4a000000 01000000 ${spec('1700')} cd`,
  ruleTail: 'cd',
  upper: false,
  unnamed: path => `"ipsecName"=${quoted(path)}`,
};
const windows10: Style = {
  className: 'className',
  path: 'SOFTWARE\\Policies\\Microsoft\\Windows\\IPSEC\\Policy\\Local',
  garbage: '00',
  list: (...texts) => (texts.length === 1 ? quoted(texts[0] ?? '') : multi(...texts)),
  filterData: `b520dc80c82ed111a89e00a0248d3021 46000000 01000000 ${spec('1700')}`,
  ruleTail: `${'01'.repeat(16)} 01000000 05000000 00000000 ${'01'.repeat(15)}02 01000000 00000000 00`,
  upper: true,
  unnamed: () => '',
};

function store({ className, path, garbage, list, filterData, ruleTail, upper, unnamed }: Style): string {
  const id = (text = '') => (upper ? text.toUpperCase() : text);
  const g = (count: number) => garbage.repeat(count);
  const reference = (kind: string, of = '') => `${path}\\${kind}${id(of)}`;
  const object = (kind: string, of: string | undefined, ...lines: readonly string[]) => [
    `[${local}\\${kind}${id(of)}]`,
    `"${className}"="${kind}"`,
    `"name"="${kind}${id(of)}"`,
    `"ipsecID"="${id(of)}"`,
    '"ipsecDataType"=dword:00000100',
    '"whenChanged"=dword:38d7ea4c',
    ...lines.filter(line => line !== ''),
    '',
  ];
  const method = (cipher: string, hash: string, group: string) =>
    `${g(4)} ${cipher}000000 ${g(8)} ${hash}000000 ${g(8)} ${g(8)} 00${g(7)} ${group}000000 00000000 ${g(4)} 80700000 ${g(4)}`;
  const offer = (slots: string, count: string) =>
    `00000000 00000000 ${g(4)} 00000000 ${count}000000 ${slots}`;
  const slot = (cipher: string, hash: string) => `${cipher}000000 ${hash}000000 02000000 ${g(8)}`;
  const rule = (active: string) =>
    `00acbb118d49d1118639 00a0248d3021 2a000000 01000000 05000000 02000000 0000 fdffffff 02000000 0000 00000000 00000000 ${active}000000 02000000 0000 ${ruleTail}`;
  return [
    'Windows Registry Editor Version 5.00',
    '',
    `[${local}]`,
    '@=""',
    `"ActivePolicy"=${quoted(reference('ipsecPolicy', policy))}`,
    '',
    ...object(
      'ipsecPolicy',
      policy,
      '"ipsecName"="Lab"',
      '"description"="what it is for"',
      `"ipsecData"=hex:${hex(`632120224c4fd111863b00a0248d3021 04000000 302a0000 ${g(1)}`)}`,
      `"ipsecISAKMPReference"=${quoted(reference('ipsecISAKMPPolicy', isakmp))}`,
      `"ipsecNFAReference"=${multi(reference('ipsecNFA', nfa), reference('ipsecNFA', defaultNfa))}`,
    ),
    ...object(
      'ipsecISAKMPPolicy',
      isakmp,
      unnamed(reference('ipsecISAKMPPolicy', isakmp)),
      `"ipsecData"=hex:${hex(`b820dc80c82ed111a89e00a0248d3021 c0000000 ${g(16)} ${g(4)} 00000000 00000000 00000000 00000000 00000000 ${g(20)} 02000000 ${method('03', '02', '02')} ${method('01', '01', '01')} ${g(1)}`)}`,
    ),
    ...object(
      'ipsecNFA',
      nfa,
      unnamed(id(nfa)),
      `"ipsecData"=hex:${hex(rule('01'))}`,
      `"ipsecNegotiationPolicyReference"=${quoted(reference('ipsecNegotiationPolicy', action))}`,
      `"ipsecFilterReference"=${list(reference('ipsecFilter', filter))}`,
      `"ipsecOwnersReference"=${list(reference('ipsecPolicy', policy))}`,
    ),
    ...object(
      'ipsecNFA',
      defaultNfa,
      unnamed(reference('ipsecNegotiationPolicy', defaultAction)),
      `"ipsecData"=hex:${hex(rule('00'))}`,
      `"ipsecNegotiationPolicyReference"=${quoted(reference('ipsecNegotiationPolicy', defaultAction))}`,
    ),
    ...object(
      'ipsecNegotiationPolicy',
      action,
      '"ipsecName"="Require Security"',
      `"ipsecNegotiationPolicyAction"="${id('{3f91a81a-7647-11d1-864d-d46a00000000}')}"`,
      '"ipsecNegotiationPolicyType"="{62F49E10-6C37-11D1-864C-14A300000000}"',
      `"ipsecData"=hex:${hex(`b920dc80c82ed111a89e00a0248d3021 a4000000 02000000 ${offer(`${slot('03', '02')} ${g(40)}`, '01')} ${offer(g(60), '00')} ${g(1)}`)}`,
    ),
    ...object(
      'ipsecNegotiationPolicy',
      defaultAction,
      '"ipsecNegotiationPolicyAction"="{8A171DD3-77E3-11D1-8659-A04F00000000}"',
      '"ipsecNegotiationPolicyType"="{62F49E13-6C37-11D1-864C-14A300000000}"',
      `"ipsecData"=hex:${hex(`b920dc80c82ed111a89e00a0248d3021 54000000 01000000 ${offer(`${slot('01', '02')} ${g(40)}`, '01')} ${g(1)}`)}`,
    ),
    ...object('ipsecFilter', filter, '"ipsecName"="Telnet"', `"ipsecData"=hex:${hex(filterData)}`),
    ...object(
      'ipsecFilter',
      second,
      '"ipsecName"="Web"',
      `"ipsecData"=hex:${hex(filterData.replace('1700', '5000'))}`,
      `"ipsecOwnersReference"=${list(reference('ipsecNFA', nfa))}`,
    ),
    ...object('ipsecFilter', guid(8), '"ipsecName"="Not used"', `"ipsecData"=hex:${hex(filterData)}`),
    '[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\PolicyAgent]',
    '"Start"=dword:00000002',
  ].join('\r\n');
}

describe('the same policy as different Windows versions store it', () => {
  for (const [name, style] of Object.entries({ windows2000, windows10 }))
    test(name, () => {
      const { collection, notes } = parseStoreFile(encodeUtf16(store(style)), 'reg');
      const [lab, ...others] = collection.policies;
      assert.ok(lab);
      assert.equal(others.length, 0);
      assert.deepEqual(notes, []);
      assert.equal(collection.assigned, policy?.toUpperCase());
      assert.deepEqual(
        [lab.id, lab.name, lab.description, lab.pollIntervalMinutes, lab.changedAtSeconds],
        [policy?.toUpperCase(), 'Lab', 'what it is for', 180, 0x38d7ea4c],
      );
      assert.deepEqual(lab.keyExchange.methods.map(printMainModeMethod), ['3DES-SHA-2', 'DES-MD5-1']);
      assert.equal(lab.keyExchange.lifetimeSeconds, 28_800);
      assert.equal(lab.keyExchange.id, isakmp?.toUpperCase());
      const [rule, fallback] = lab.rules;
      assert.ok(rule?.action.kind === 'negotiate' && fallback?.action.kind === 'negotiate');
      assert.equal(rule.name, undefined, 'a GUID or a path is no name');
      assert.deepEqual(rule.action.methods.map(printIpsecpolMethod), ['ESP[3DES,SHA]']);
      assert.deepEqual(
        [rule.action.name, rule.action.acceptUnsecured, rule.action.allowFallback],
        ['Require Security', true, true],
      );
      assert.deepEqual(rule.filterList?.filters.map(describeFilter), [
        '0+198.51.100.0/255.255.255.0:23:TCP',
        '0+198.51.100.0/255.255.255.0:80:TCP',
      ]);
      assert.deepEqual(
        rule.filterList?.furtherLists?.map(list => list.name),
        ['Web'],
        'a list that only names the rule as its owner',
      );
      assert.deepEqual(
        [rule.active, rule.connectionType, rule.authentication],
        [true, 'all', [{ kind: 'kerberos' }]],
      );
      assert.equal(fallback.filterList, undefined);
      assert.equal(fallback.active, false);
      assert.deepEqual(fallback.action.methods.map(printIpsecpolMethod), ['ESP[DES,SHA]']);
      assert.deepEqual(
        collection.library.filterLists.map(list => list.name),
        ['Not used'],
      );
    });
});

describe('what is missing or wrong in a store', () => {
  const text = store(windows10);
  const load = (changed: string) => parseStoreFile(Buffer.from(changed), 'reg');
  const without = (kind: string, of = '') =>
    text.replace(new RegExp(`\\[[^\\]]*${kind}\\${of.toUpperCase()}\\][^[]*`), '');
  const notesOf = (changed: string) =>
    load(changed).notes.map(({ where, text: what }) => `${where}: ${what}`);

  test('without its filter list, action or settings a rule or policy says so', () => {
    assert.match(
      notesOf(without('ipsecFilter', filter)).join('\n'),
      /rule 1: its filter list ipsecFilter\{.*\} is not there/,
    );
    assert.match(
      notesOf(without('ipsecNegotiationPolicy', action)).join('\n'),
      /rule 1: the rule has no filter action/,
    );
    assert.equal(load(without('ipsecNegotiationPolicy', action)).collection.policies[0]?.rules.length, 1);
    assert.match(
      notesOf(without('ipsecISAKMPPolicy', isakmp)).join('\n'),
      /key exchange settings are not there/,
    );
    assert.match(notesOf(without('ipsecNFA', nfa)).join('\n'), /its rule ipsecNFA\{.*\} is not there/);
  });

  test('an unknown action is never guessed', () => {
    const changed = text.replace('{3F91A81A-', '{00000000-');
    assert.match(notesOf(changed).join('\n'), /the action \{00000000-.*\} is unknown/);
    assert.equal(load(changed).collection.policies[0]?.rules.length, 1);
  });

  test('a rule that is referred to twice counts once', () => {
    const rule = `${windows10.path}\\ipsecNFA${nfa}`;
    const twice = text.replace(/"ipsecNFAReference"=.*/, () => `"ipsecNFAReference"=${multi(rule, rule)}`);
    assert.equal(load(twice).collection.policies[0]?.rules.length, 1);
    assert.match(notesOf(twice).join('\n'), /its rule ipsecNFA\{.*\} is referred to twice, and counts once/);
  });

  test('a damaged blob names key, value and offset', () => {
    for (const [from, to, message] of [
      ['63,21,20,22', '63,21,20,23', /ipsecPolicy\{.*\}, value ipsecData: .*the type is \{23.*offset 0\)/],
      [
        '04,00,00,00,30',
        'ff,00,00,00,30',
        /value ipsecData: .*255 bytes, 5 follow \(bad-length at offset 16\)/,
      ],
    ] as const) {
      assert.throws(() => load(text.replace(from, to)), { name: 'StoreFormatError', message });
    }
    assert.throws(() => load(text.replace('"ipsecData"=hex:63', '"other"=hex:63')), {
      message: /ipsecPolicy\{.*\}, value ipsecData: is missing/,
    });
    assert.throws(() => load(text.replace(/"ipsecData"=hex:63[^\r]*/, '"ipsecData"="text"')), {
      message: /value ipsecData: is string, not binary/,
    });
    assert.throws(() => load(text.replace(/"ipsecNFAReference"=.*/, '"ipsecNFAReference"="nonsense"')), {
      message: /value ipsecNFAReference: "nonsense" names no policy object/,
    });
  });

  test('a file of another product', () => {
    assert.throws(
      () =>
        load('Windows Registry Editor Version 5.00\r\n\r\n[HKEY_CURRENT_USER\\Software\\X]\r\n"a"="b"\r\n'),
      {
        name: 'StoreFormatError',
        message: /no key of the file is an IP Security policy object; the first is HKEY_CURRENT_USER/,
      },
    );
  });
});
