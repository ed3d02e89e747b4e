import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { toHex, WireError } from '../../src/wire/bytes.js';
import { DerReader, derTags, parseDer, readOid, readTime } from '../../src/wire/der/der.js';
import { derInteger, derOctetString, derOid, derTime, derValue } from '../../src/wire/der/der-writer.js';
import {
  encodeName,
  nameMatchesText,
  namesEqual,
  parseNameDer,
  parseNameText,
} from '../../src/wire/der/distinguished-name.js';

describe('DER', () => {
  test('lengths, integers, identifiers and times read as they were written', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65_535, 65_536]) {
      const { content, tag } = parseDer(derOctetString(new Uint8Array(length)), 'octets');
      assert.deepEqual([content.length, tag], [length, derTags['OCTET STRING']]);
    }
    assert.deepEqual(
      [0, 127, 128, 256].map(value => toHex(derInteger(value))),
      ['020100', '02017f', '02020080', '02020100'],
    );
    for (const oid of ['2.5.4.3', '1.2.840.113549.1.1.11', '0.9.2342.19200300.100.1.25', '2.999.3'])
      assert.equal(readOid(parseDer(derOid(oid), 'oid')), oid);
    for (const ms of [0, Date.UTC(2049, 11, 31, 23, 59, 59), Date.UTC(2050, 0, 1)])
      assert.equal(readTime(parseDer(derTime(ms), 'time'), 'time'), ms);
  });

  test('what is not DER is refused with its offset', () => {
    for (const bad of ['', '30', '3081', '308005', '30810100', '3082000100', '0503', '1f0100', '300100ff'])
      assert.throws(
        () => parseDer(Buffer.from(bad, 'hex'), 'x', bad.startsWith('30') ? derTags.SEQUENCE : undefined),
        WireError,
        bad,
      );
    assert.throws(
      () => new DerReader(Buffer.from('020100', 'hex')).next('number', derTags.SEQUENCE),
      /number: type 0x02 where 0x30 belongs/,
    );
    const early = derValue(derTags.GeneralizedTime, Buffer.from('00500228235959Z'));
    assert.equal(new Date(readTime(parseDer(early, 't'), 't')).toISOString(), '0050-02-28T23:59:59.000Z');
    for (const time of ['260230000000Z', '261301000000Z', '26010100000Z', '260101000000+0100'])
      assert.throws(
        () => readTime(parseDer(Buffer.from([0x17, time.length, ...Buffer.from(time)]), 't'), 't'),
        WireError,
        time,
      );
  });
});

describe('distinguished names', () => {
  const roundTrip = (text: string) => parseNameDer(encodeName(parseNameText(text) ?? []));

  test('print as Windows does, and parse back', () => {
    for (const text of [
      'C=US, O=Example, CN=Example Root',
      'O="Example, Inc.", CN="say ""hi"""',
      'DC=com, DC=example, CN=gw',
      'CN=Grüße',
      'CN=a, E=a@example.com',
      '1.2.3.4=x',
    ])
      assert.equal(roundTrip(text).text, text);
    assert.equal(roundTrip('ST=Bavaria,CN=x').text, 'S=Bavaria, CN=x');
    assert.equal(roundTrip('CN=Gr\\C3\\BC\\C3\\9fe\\, alle').text, 'CN="Grüße, alle"');
    assert.equal(roundTrip('CN=bell\\07').text, 'CN=bell\\x07');
  });

  test('match a text in either order, ignoring case and blanks', () => {
    const name = roundTrip('C=US, O=Example  Corp, CN=Root');
    for (const text of [
      'C=US,O=Example Corp,CN=Root',
      'cn=root, o=example corp, c=us',
      'CN=Root;O="Example Corp";C=US',
    ])
      assert.ok(nameMatchesText(name, text), text);
    for (const text of [
      'C=US, O=Example Corp',
      'C=US, CN=Root, O=Example Corp',
      'Root',
      '',
      'CN=',
      'C=US, O=Example Corp, CN=Root, CN=Root',
    ])
      assert.ok(!nameMatchesText(name, text), text);
    assert.ok(namesEqual(name, roundTrip('C=us, O=Example Corp, CN=ROOT')));
  });

  test('what is no name', () => {
    for (const text of [
      '',
      'x',
      'gw.example.com',
      'user@host',
      '192.0.2.1',
      'CN',
      '=x',
      'CN=a,,O=b',
      'CN="a',
    ])
      assert.equal(parseNameText(text), undefined, text);
  });

  test('blanks without end are read in one go', () => {
    const blanks = ' '.repeat(100_000);
    for (const text of [`CN=${blanks}"`, `CN=a${blanks}"`, `CN="a"${blanks}b`, `CN${blanks}b`])
      assert.equal(parseNameText(text), undefined);
    assert.deepEqual(
      parseNameText(`${blanks}CN${blanks}=${blanks}"a "${blanks},${blanks}O=${blanks}b${blanks}`)?.map(
        ({ type, value }) => [type, value],
      ),
      [
        ['CN', 'a '],
        ['O', 'b'],
      ],
    );
  });
});
