/** What `--subject` refuses: names that certificates could hold only in a form that nobody reads. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subjectDer } from '../../src/cli/certificate-flags.js';
import { parseNameDer } from '../../src/wire/der/distinguished-name.js';

test('a subject is a name, or says why not', () => {
  for (const text of ['C=US, O=Example, CN=gw', 'CN=Grüße, E=ann@example.com', '2.999.3=x', 'O="a, b"'])
    assert.equal(parseNameDer(subjectDer(text)).text, text);
  for (const [text, message] of [
    ['gw', /not a distinguished name/],
    ['X=y', /"X" is not a known attribute/],
    ['3.1=x', /"3.1" is not a known attribute/],
    ['1.40=x', /"1.40" is not a known attribute/],
    ['CN=', /CN is empty/],
    ['C=Österreich', /C takes printable ASCII/],
    ['C=USA', /two letters/],
    ['E=jörg@example.com', /E takes printable ASCII/],
  ] as const)
    assert.throws(() => subjectDer(text), { code: 'USAGE', message });
});
