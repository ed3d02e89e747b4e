import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CrlFetcher } from '../../src/agent/crl-fetcher.js';
import { printPem } from '../../src/crypto/certificates/pem.js';
import { testCa, testCrl, testNowMs } from '../support/certificates.js';

const url = 'http://crl.example.com/root.crl';
const hourMs = 3_600_000;
const root = testCa('CN=Root of the fetcher', undefined, { key: 'prime256v1' });
const list = (nextUpdateMs: number) => testCrl(root, [], { nextUpdateMs });

/** A fetcher with a clock and a server of the test's. */
function fetcher(answer: () => Uint8Array) {
  const world = { nowMs: testNowMs, asked: 0 };
  const crls = new CrlFetcher({
    nowMs: () => world.nowMs,
    get: async () => {
      world.asked++;
      return answer();
    },
  });
  return { world, fetchOne: async () => (await crls.fetch([url]))[0] };
}

describe('revocation lists over HTTP', () => {
  test('kept until the next update, at most a day', async () => {
    const crl = list(testNowMs + 2 * hourMs);
    const { world, fetchOne } = fetcher(() => crl.der);
    assert.deepEqual(await fetchOne(), await fetchOne());
    assert.equal(world.asked, 1);
    world.nowMs += 2 * hourMs + 1;
    await fetchOne();
    assert.equal(world.asked, 2);
    const far = fetcher(() => list(testNowMs + 1_000 * hourMs).der);
    await far.fetchOne();
    far.world.nowMs += 25 * hourMs;
    await far.fetchOne();
    assert.equal(far.world.asked, 2);
  });

  test('PEM is understood as well', async () => {
    const { fetchOne } = fetcher(() => Buffer.from(printPem('X509 CRL', list(testNowMs + hourMs).der)));
    const answer = await fetchOne();
    assert.ok(answer !== undefined && 'crl' in answer);
  });

  test('what is no list is a problem with a reason, and not asked for again within a minute', async () => {
    for (const [bytes, reason] of [
      [Buffer.from('<html>'), /no revocation list|PEM/],
      [Uint8Array.of(0x30, 1), /CRL/],
    ] as const) {
      const { world, fetchOne } = fetcher(() => bytes);
      const answer = await fetchOne();
      assert.ok(answer !== undefined && 'problem' in answer);
      assert.match(answer.problem, reason);
      world.nowMs += 59_000;
      await fetchOne();
      assert.equal(world.asked, 1);
      world.nowMs += 2_000;
      await fetchOne();
      assert.equal(world.asked, 2);
    }
  });

  test('a server that fails is a problem, and all who ask meanwhile share the answer', async () => {
    const { world, fetchOne } = fetcher(() => {
      throw new Error('no route');
    });
    const answers = await Promise.all([fetchOne(), fetchOne(), fetchOne()]);
    assert.deepEqual(answers, Array(3).fill({ url, problem: 'no route' }));
    assert.equal(world.asked, 1);
  });
});
