import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { printIpsecpol, shellLine } from '../../../src/policy/ipsecpol/print.js';
import { parseScript, ScriptError } from '../../../src/policy/ipsecpol/script.js';
import { ScriptSyntaxError, splitScript } from '../../../src/policy/ipsecpol/script-words.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { SeededRandom } from '../../support/random.js';
import { failure, parse } from '../support.js';
import { randomCommand } from './random-command.js';

const wordsOf = (text: string) =>
  splitScript(text).map(line => {
    assert.ok(!(line instanceof ScriptSyntaxError), String(line));
    return line.map(word => word.text);
  });

describe('words', () => {
  /** Text of a script, and its lines as words. */
  const cases: readonly (readonly [string, string, readonly (readonly string[])[]])[] = [
    ['blanks and tabs', ' a  b\tc \r\nd\n', [['a', 'b', 'c'], ['d']]],
    ['comments', '# x\n  rem x\nREM\n@rem x\n:: x\nremark\n\n', [['remark']]],
    ['double quotes', '-p "My Policy" -a PRESHARE:"a b"', [['-p', 'My Policy', '-a', 'PRESHARE:a b']]],
    ['a quote in double quotes', String.raw`"a""b" "a\"b"`, [['a"b', 'a"b']]],
    [
      'backslashes, as cmd.exe',
      String.raw`\\host C:\keys\a "C:\x y\\" \\\"`,
      [[String.raw`\\host`, String.raw`C:\keys\a`, 'C:\\x y\\', '\\"']],
    ],
    ['single quotes', `'a "b" \\c' 'it'\\''s'`, [['a "b" \\c', "it's"]]],
    ['nothing in quotes is a word', `"" ''`, [['', '']]],
    ['escapes', String.raw`\(0+\*\) ^(0+*^) a\ b a^&b a^b`, [['(0+*)', '(0+*)', 'a b', 'a&b', 'a^b']]],
    ['continued, as cmd.exe', '-f a ^\r\n  b\r\nc', [['-f', 'a', 'b'], ['c']]],
    ['continued, as sh', '-f a \\\n  b\nc', [['-f', 'a', 'b'], ['c']]],
    ['continued within a word', 'a\\\nb', [['ab']]],
    ['continued at the end of the file', 'a ^', [['a', '^']]],
    ['no comment in a continued line', 'a \\\n# b', [['a', '#', 'b']]],
  ];
  for (const [name, text, expected] of cases)
    test(name, () => {
      assert.deepEqual(wordsOf(text), expected);
    });

  test('a quote that is not closed; the next line is read all the same', () => {
    const [first, second] = splitScript(`a 'b c\n-u`);
    assert.ok(first instanceof ScriptSyntaxError);
    assert.equal(first.offset, 2);
    assert.ok(second !== undefined && !(second instanceof ScriptSyntaxError));
    assert.equal(second[0].text, '-u');
  });
});

describe('commands', () => {
  test('with and without the name of the program', () => {
    const names = [
      '',
      'ipsecpol ',
      'IPSECPOL.EXE ',
      '@ipseccmd ',
      'C:\\Tools\\ipsecpol.exe ',
      '"C:\\Program Files\\Resource Kit\\ipsecpol.exe" ',
      '/usr/bin/ipsecpol ',
      'ipseckit ipsecpol -- ',
    ];
    const commands = parseScript(names.map(name => `${name}-f [0+*]`).join('\n'), 'f');
    assert.deepEqual(
      commands.map(({ command }) => command),
      names.map(() => parse('-f [0+*]')),
    );
    assert.deepEqual(
      commands.map(({ line }) => line),
      names.map((_, i) => i + 1),
    );
    const [remote] = parseScript('\\\\ipsecpol -u', 'f');
    assert.equal(remote?.command.host, 'ipsecpol', 'a computer of that name is no program');
  });

  /** Script, and the whole message: where each mistake is counted in the file, not in the words. */
  const mistakes: readonly (readonly [string, string])[] = [
    ['-f 0+*:80:FOO', "f:1:11: bad filter spec '0+*:80:FOO': expected TCP, UDP, ICMP, RAW"],
    ['\n# c\n  ipsecpol -f \'0+*\' "0+*:80:FOO"', "f:3:29: bad filter spec '0+*:80:FOO': expected TCP"],
    ['-f 0+* ^\n   0+*:80:FOO', "f:2:11: bad filter spec '0+*:80:FOO'"],
    ['ipsecpol -w REG -f 0+*', 'f:1:1: -w needs -p'],
    ['-f 0+* -z', "f:1:8: unknown flag '-z'"],
    ['-f 0+* -u "x y', 'f:1:11: the quote " is not closed'],
    ['ipsecpol', 'f:1:1: this line does nothing'],
    ['-file other', 'f:1:1: a script cannot run another script'],
    ['-f 0+* -a PRESHARE:', 'f:1:11: bad authentication method: the key is missing'],
    ['-w REG -p P -p Q -x', 'f:1:13: -p stands twice'],
    ['-f "0+*', 'f:1:4: the quote " is not closed'],
  ];
  for (const [script, message] of mistakes)
    test(message, () => {
      const error = failure(
        () => parseScript(script, 'f'),
        message.includes('needs -p') || message.includes('twice') ? 'CONFLICT' : 'USAGE',
      );
      assert.ok(error instanceof ScriptError);
      assert.ok(error.message.startsWith(message), error.message);
      const [, line, column] = message.split(':');
      assert.deepEqual(error.place, { line: Number(line), column: Number(column) });
      assert.equal(error.toJSON().line, Number(line));
    });

  test('all mistakes at once, ten of them listed', () => {
    const error = failure(() => parseScript('-z\n'.repeat(3), 'f'), 'USAGE');
    assert.deepEqual(
      error.message.split('\n').map(line => line.split(' ')[0]),
      ['f:1:1:', 'f:2:1:', 'f:3:1:'],
    );
    assert.match(error.next ?? '', /nothing was changed$/);
    assert.match(failure(() => parseScript('-z\n'.repeat(13), 'f'), 'USAGE').message, /\nand 3 more$/);
  });

  test('no message repeats a key', () => {
    for (const script of [
      '-f 0+* -a PRESHARE:"geheim" FOO:geheim',
      '-f 0+* -a PRESHARE:"geheim',
      '-f 0+* -a x -geheim',
    ]) {
      const error = failure(() => parseScript(script, 'f'), 'USAGE');
      assert.ok(!error.message.includes('geheim'), error.message);
    }
  });

  test('every line that is printed for a shell reads back as the same command', t => {
    const seed = Number(process.env.IPSECKIT_SEED ?? 31);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const commands = Array.from({ length: 3000 }, () => randomCommand(random));
    const argvs = commands.map(command => printIpsecpol(command, { secrets: 'shown' }));
    const again = parseScript(argvs.map(argv => `ipsecpol ${shellLine(argv)}`).join('\n'), 'f');
    assert.deepEqual(
      again.map(({ command }) => printIpsecpol(command, { secrets: 'shown' })),
      argvs,
    );
  });

  test('text of no sense at all ends in an error of ours, or in commands', t => {
    const seed = Number(process.env.IPSECKIT_SEED ?? 32);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const pieces = [
      'ipsecpol',
      '-f',
      '0+*',
      '-w',
      'REG',
      '-p',
      '"',
      "'",
      '\\',
      '^',
      '\n',
      '\r\n',
      ' ',
      '#',
      '::',
      '(',
      'ü',
      '\ud800',
    ];
    let failed = 0;
    for (let i = 0; i < 5000; i++) {
      const text = Array.from({ length: random.int(30) }, () => random.pick(pieces)).join(
        random.pick(['', ' ']),
      );
      try {
        parseScript(text, 'f');
      } catch (error) {
        assert.ok(error instanceof IpseckitError, `${JSON.stringify(text)}: ${error}`);
        assert.match(error.message, /^f:\d+:\d+: /);
        failed++;
      }
    }
    assert.ok(failed > 100, 'most of it fails');
  });
});
