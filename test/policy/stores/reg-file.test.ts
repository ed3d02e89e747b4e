import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StoreFormatError } from '../../../src/policy/stores/format-error.js';
import { parseStoreFile, printStoreFile } from '../../../src/policy/stores/formats.js';
import { parseRegFile, printRegFile, type RegValue } from '../../../src/policy/stores/reg-file.js';
import { encodeUtf16 } from '../../../src/policy/stores/text-encoding.js';
import { SeededRandom } from '../../support/random.js';
import { randomStore } from '../../support/random-store.js';

const header = 'Windows Registry Editor Version 5.00';
const values = (...lines: readonly string[]): Record<string, RegValue> => {
  const text = [header, '', '[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]', ...lines, ''].join('\r\n');
  const [key, ...others] = parseRegFile(Buffer.from(text));
  assert.ok(key);
  assert.equal(others.length, 0);
  return Object.fromEntries(key.values);
};

describe('parsing', () => {
  test('every type of value', () => {
    assert.deepEqual(
      values(
        '@="the default"',
        '"text"="a \\"quoted\\" C:\\\\path; no comment" ; a comment',
        '"number"=dword:0000002A',
        '"bytes"=hex:01,02,FF',
        '"strings"=hex(7):61,00,62,00,00,00,63,00,00,00,00,00',
        '"unclosed strings"=hex(7):61,00,00,00,62,00',
        '"expandable"=hex(2):25,00,61,00,25,00,00,00',
        '"string in hex"=hex(1):61,00,0a,00,00,00',
        '"dword in hex"=hex(4):01,00,00,00',
        '"qword"=hex(b):01,00,00,00,00,00,00,00',
        '"gone"=-',
        '"nothing"=hex:',
      ),
      {
        '': { type: 'string', text: 'the default' },
        text: { type: 'string', text: 'a "quoted" C:\\path; no comment' },
        number: { type: 'dword', number: 42 },
        bytes: { type: 'binary', bytes: Buffer.of(1, 2, 255) },
        strings: { type: 'strings', texts: ['ab', 'c'] },
        'unclosed strings': { type: 'strings', texts: ['a', 'b'] },
        expandable: { type: 'expandable', text: '%a%' },
        'string in hex': { type: 'string', text: 'a\n' },
        'dword in hex': { type: 'dword', number: 1 },
        qword: { type: 'other', number: 11, bytes: Buffer.of(1, 0, 0, 0, 0, 0, 0, 0) },
        gone: { type: 'delete' },
        nothing: { type: 'binary', bytes: Buffer.alloc(0) },
      },
    );
  });

  test('lines continued in every way', () => {
    const bytes = Buffer.of(1, 2, 3, 4);
    for (const lines of [
      ['"a"=hex:01,02,\\', '  03,04'],
      ['"a"=hex:01,\\', '02,\\', '\t03,04'],
      ['"a"=hex:01,02,03,04,\\', ''],
      ['"a"=hex:\\', '  01,02,03,04'],
      ['"a"=hex:1,2,3,4,'],
      ['  "a" = hex:01, 02,03 ,04'],
    ])
      assert.deepEqual(values(...lines), { a: { type: 'binary', bytes } }, lines.join('|'));
  });

  test('REGEDIT4 has 8-bit text', () => {
    const text =
      'REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\X]\r\n"a"="\xfcber"\r\n"m"=hex(7):61,fc,00,62,00,00\r\n';
    const [key] = parseRegFile(Buffer.from(text, 'latin1'));
    assert.deepEqual(Object.fromEntries(key?.values ?? []), {
      a: { type: 'string', text: 'über' },
      m: { type: 'strings', texts: ['aü', 'b'] },
    });
  });

  test('every encoding', () => {
    const text = `${header}\r\n\r\n[HKEY_LOCAL_MACHINE\\X]\r\n"ü"="漢"\r\n`;
    const utf16 = Buffer.from(encodeUtf16(text));
    const encodings: Record<string, Uint8Array> = {
      'UTF-16LE': utf16,
      'UTF-16LE without mark': utf16.subarray(2),
      'UTF-16BE': Buffer.from(utf16).swap16(),
      'UTF-8': Buffer.from(text),
      'UTF-8 with mark': Buffer.from(`\ufeff${text}`),
      'line feeds': Buffer.from(text.replaceAll('\r', '')),
    };
    for (const [name, bytes] of Object.entries(encodings))
      assert.deepEqual(
        parseRegFile(bytes).map(({ values }) => [...values]),
        [[['ü', { type: 'string', text: '漢' }]]],
        name,
      );
  });

  test('deleted keys, comments and blank lines', () => {
    const text = `${header}\n; comment\n\n  ; another\n[-HKEY_X\\[a]]\n\n[HKEY_Y]`;
    assert.deepEqual(
      parseRegFile(Buffer.from(text)).map(({ path, delete: gone }) => [path, gone]),
      [
        ['HKEY_X\\[a]', true],
        ['HKEY_Y', false],
      ],
    );
  });

  const broken: readonly (readonly [text: string, message: RegExp])[] = [
    ['', /line 1: no registry file: it begins with ""/],
    ['[boot loader]\r\n', /line 1: no registry file: it begins with "\[boot loader\]"/],
    ['REGEDIT5\r\n', /no registry file/],
    [`${header}\r\n"a"="b"`, /line 2, column 1: expected a key in brackets/],
    [`${header}\r\n[X]\r\na=b`, /line 3, column 1: expected a key in brackets, or the name of a value/],
    [`${header}\r\n[X]\r\n"a"="b`, /line 3, column 5: the closing quote is missing/],
    [`${header}\r\n[X]\r\n"a" "b"`, /line 3, column 4: expected '='/],
    [`${header}\r\n[X]\r\n"a"=hex:0g`, /line 3, column 9: expected a byte of two hexadecimal digits/],
    [`${header}\r\n[X]\r\n"a"=hex:01,02,\\\r\n  03,xx`, /line 4, column 6: expected a byte/],
    [`${header}\r\n[X]\r\n"a"=dword:123456789`, /line 3, column 5: expected text in quotes, dword: or hex:/],
    [`${header}\r\n[X]\r\n"a"="b" c`, /line 3, column 8: expected the end of the line/],
    [`${header}\r\n[X]\r\n"a"=hex(7):61`, /line 3, column 14: 1 bytes are no UTF-16 text/],
  ];
  for (const [text, message] of broken)
    test(`an error says where: ${JSON.stringify(text.slice(36))}`, () => {
      assert.throws(() => parseRegFile(Buffer.from(text)), { name: 'StoreFormatError', message });
    });

  test('half a character at the end of UTF-16', () => {
    const bytes = encodeUtf16(`${header}\r\n`).subarray(0, -1);
    assert.throws(() => parseRegFile(bytes), { name: 'StoreFormatError', message: /^offset 76: .*cut off/ });
  });
});

test('written as regedit writes', () => {
  const text = printRegFile([
    {
      path: 'HKEY_LOCAL_MACHINE\\X',
      delete: false,
      values: new Map<string, RegValue>([
        ['', { type: 'string', text: '' }],
        ['ipsecData', { type: 'binary', bytes: new Uint8Array(47).fill(0xb9) }],
        ['a"b\\c', { type: 'strings', texts: ['é'] }],
        ['whenChanged', { type: 'dword', number: 0x3b9aca00 }],
      ]),
    },
  ]);
  const b9 = (count: number) => 'b9,'.repeat(count);
  assert.equal(
    text,
    [
      header,
      '',
      '[HKEY_LOCAL_MACHINE\\X]',
      '@=""',
      `"ipsecData"=hex:${b9(21)}\\`,
      `  ${b9(25)}\\`,
      '  b9',
      '"a\\"b\\\\c"=hex(7):e9,00,00,00,00,00',
      '"whenChanged"=dword:3b9aca00',
      '',
      '',
    ].join('\r\n'),
  );
});

test('any file with changes: policies or a StoreFormatError', t => {
  const seed = 21;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const files: Uint8Array[] = [];
  while (files.length < 40) {
    const { policies, library } = randomStore(random);
    const small = {
      policies: policies.slice(0, 1).map(each => ({ ...each, rules: each.rules.slice(0, 1) })),
      library,
    };
    if (policies.length > 0)
      files.push(Buffer.from(printStoreFile(small, 'reg', { keys: 'shown', nowSeconds: 0 }).text));
  }
  const snippets = [
    '"',
    '\\',
    '\r\n',
    '[',
    ']',
    ',',
    'hex:',
    'hex(7):',
    'dword:',
    '=',
    '{',
    '@',
    ';',
    '\0',
  ].map(text => Buffer.from(text));
  let read = 0;
  let refused = 0;
  for (let i = 0; i < 20_000; i++) {
    let bytes = Buffer.from(random.pick(files));
    for (let n = random.between(1, 3); n > 0; n--) {
      const at = random.int(bytes.length);
      if (random.chance(0.5)) bytes[at] = random.u32();
      else
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          random.pick(snippets),
          bytes.subarray(Math.min(bytes.length, at + random.int(20))),
        ]);
    }
    if (random.chance(0.1)) bytes = bytes.subarray(0, random.int(bytes.length));
    try {
      parseStoreFile(bytes, 'reg');
      read++;
    } catch (error) {
      assert.ok(error instanceof StoreFormatError, `${error}`);
      refused++;
    }
  }
  assert.ok(read > 1_000 && refused > 1_000, `${read} read, ${refused} refused`);
});

test('short texts of the grammar: keys or a StoreFormatError', t => {
  const seed = 22;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const words = [
    '"',
    'a',
    '\\',
    '\r\n',
    '[X]',
    '"v"=',
    'hex:',
    'hex(2):',
    '01,',
    '0',
    ',',
    '@=',
    '-',
    ';',
    ' ',
    'ü',
  ];
  let read = 0;
  for (let i = 0; i < 200_000; i++) {
    const body = Array.from({ length: random.int(12) }, () => random.pick(words)).join('');
    try {
      parseRegFile(Buffer.from(`${random.chance(0.5) ? 'REGEDIT4' : header}\r\n[X]\r\n${body}`));
      read++;
    } catch (error) {
      assert.ok(error instanceof StoreFormatError, `${error}`);
    }
  }
  assert.ok(read > 10_000, `${read} read`);
});

test('long values and long blanks are read, or refused at their place', () => {
  const text = 'a'.repeat(20_000_000);
  const value = (written: string) =>
    parseRegFile(Buffer.from(`${header}\r\n\r\n[X]\r\n"v"=${written}\r\n`))[0]?.values.get('v');
  assert.deepEqual(value(`"${text}"`), { type: 'string', text });
  assert.throws(() => value(`"${text}`), {
    name: 'StoreFormatError',
    message: /the closing quote is missing/,
  });
  assert.throws(() => value('"\\"'), /the closing quote is missing/);
  const blanks = ' '.repeat(1_000_000);
  assert.throws(() => parseRegFile(Buffer.from(`a${blanks}x\n`)), /no registry file/);
  assert.deepEqual(parseRegFile(Buffer.from(`${header}${blanks}\n`)), []);
});
