import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  parseAhProposals,
  parseEspProposals,
  parseIkeProposals,
  printSecurityMethod,
} from '../../src/policy/proposals.js';
import { IpseckitError } from '../../src/report/errors.js';

describe('extended sequence numbers in proposals', () => {
  test('esn behind the algorithms, before or behind the group', () => {
    const method = {
      esp: { encryption: 'aes128', hash: 'sha1' },
      pfs: { group: 14 },
      extendedSequence: true,
    } as const;
    assert.deepEqual(parseEspProposals('aes128-sha1-modp2048-esn,aes128-sha1-esn-modp2048'), [
      method,
      method,
    ]);
    assert.deepEqual(parseEspProposals('aes128gcm16-esn,aes128gcm16'), [
      { esp: { encryption: 'aes128gcm' }, extendedSequence: true },
      { esp: { encryption: 'aes128gcm' } },
    ]);
    assert.deepEqual(parseAhProposals('sha256-esn'), [{ ah: { hash: 'sha256' }, extendedSequence: true }]);
    assert.equal(printSecurityMethod(method), 'esp aes128-sha1-esn pfs modp2048');
  });

  test('refused: twice, in main mode, and without integrity', () => {
    const refused: [() => unknown, RegExp][] = [
      [
        () => parseEspProposals('aes128-sha1-esn-esn'),
        /"esn" is not an algorithm .* for ESP, or stands there twice/,
      ],
      [() => parseIkeProposals('aes128-sha1-modp2048-esn'), /"esn" is not an algorithm .* for IKE/],
      [() => parseEspProposals('aes128-esn'), /extended sequence numbers need integrity/],
    ];
    for (const [parse, message] of refused)
      assert.throws(parse, error => error instanceof IpseckitError && message.test(error.message));
  });
});
