import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogueEntries } from '../../../src/diag/netdiag/catalogue.js';
import { netdiagUsage, parseNetdiag } from '../../../src/diag/netdiag/options.js';
import { failure } from '../../policy/support.js';

function options(...argv: string[]) {
  const request = parseNetdiag(argv);
  assert.ok(request.kind === 'run');
  return request;
}

const mandatory = ['Ndis', 'IpConfig', 'Member', 'NetBTTransports'];

test('levels', () => {
  assert.equal(options().level, 'normal');
  assert.equal(options('/q').level, 'quiet');
  assert.equal(options('/V').level, 'verbose');
  assert.equal(options('/debug').level, 'debug');
  assert.equal(options('/v', '-DEBUG').level, 'debug', '/debug contains everything of /v');
  assert.equal(options('--debug').level, 'debug');
});

test('which tests', () => {
  assert.deepEqual(
    options().tests,
    catalogueEntries.map(({ name }) => name),
  );
  assert.deepEqual(options('/test:IPSEC').tests, [...mandatory, 'IPSec']);
  assert.deepEqual(options('/test:ipsec', '-test:dns,route').tests, [...mandatory, 'DNS', 'Route', 'IPSec']);
  const without = options('/skip:dns', '/skip:WAN').tests;
  assert.ok(!without.includes('DNS') && !without.includes('WAN') && without.includes('IPSec'));
});

test('the others', () => {
  const { log, fix, dcAccountEnum, domain } = options('/l', '/FIX', '/dcaccountenum', '/d:Example.com');
  assert.deepEqual(
    { log, fix, dcAccountEnum, domain },
    { log: true, fix: true, dcAccountEnum: true, domain: 'Example.com' },
  );
  for (const word of ['/?', '-?', '--help']) assert.deepEqual(parseNetdiag(['/v', word]), { kind: 'help' });
  for (const { name, title } of catalogueEntries)
    assert.match(netdiagUsage(), new RegExp(`  ${name} +${title}`));
});

test('wrong switches', () => {
  for (const [argv, message] of [
    [['/x'], /unknown switch '\/x'/],
    [['ipsec'], /unknown switch 'ipsec'/],
    [['/v:1'], /unknown switch/],
    [['/d:'], /unknown switch/],
    [['/test'], /no test '' \(\/test\)/],
    [['/test:ipsec,foo'], /no test 'foo' \(\/test:ipsec,foo\)/],
    [['/skip:ndis'], /the test Ndis cannot be skipped/],
    [['/test:dns', '/skip:dns'], /exclude each other/],
    [['/q', '/v'], /exclude each other/],
  ] as const)
    assert.match(failure(() => parseNetdiag(argv), 'USAGE').message, message);
});
