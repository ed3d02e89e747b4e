/** Every field of every payload of a negotiation wrong in turn, as from a peer with a mistake in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex, WireError } from '../../src/wire/bytes.js';
import { headerLength } from '../../src/wire/isakmp/message.js';
import { generator, type Host, keysMatch, type Simulation, twoHosts } from './harness.js';
import { type OpenMessage, Wiretap } from './wiretap.js';

/** Main mode 1 to 6, quick mode 1 to 3. */
const messages = 9;

interface Change {
  readonly what: string;
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

const works = (a: Host, b: Host) =>
  a.current !== undefined &&
  b.current !== undefined &&
  keysMatch(a.current, b.current) &&
  keysMatch(b.current, a.current);

/** A byte that is another one. */
function wrong(byte: number, random: () => number): number {
  const candidates = [byte ^ 0xff, (byte + 1) & 0xff, 0, byte ^ 0x80].filter(other => other !== byte);
  return candidates[random() % candidates.length] ?? byte ^ 1;
}

function withByte(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

/** Each byte of the header, of the generic headers and of the bodies (of long ones every eighth), and each payload left out or repeated. */
function* changesOf({ header, body, chain }: OpenMessage, random: () => number): Iterable<Change> {
  for (const [at, byte] of header.entries())
    yield { what: `header byte ${at}`, header: withByte(header, at, wrong(byte, random)), body };
  for (const { payload, offset, raw } of chain.payloads) {
    const start = offset - headerLength;
    for (const [at, byte] of raw.entries()) {
      if (at >= 48 && at % 8 !== 0) continue;
      yield {
        what: `${payload.kind} byte ${at}`,
        header,
        body: withByte(body, start + at, wrong(byte, random)),
      };
    }
    const end = start + raw.length;
    const join = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
    yield { what: `cut before ${payload.kind}`, header, body: body.slice(0, start) };
    yield { what: `without ${payload.kind}`, header, body: join(body.slice(0, start), body.slice(end)) };
    yield { what: `${payload.kind} twice`, header, body: join(body.slice(0, end), body.slice(start)) };
  }
}

/** Once a value has been changed that keys are made of, nobody can read on. */
function read(tap: Wiretap, message: Uint8Array, changed: boolean): OpenMessage | undefined {
  try {
    return tap.open(message);
  } catch (error) {
    if (changed && error instanceof WireError) return undefined;
    throw error;
  }
}

/** A negotiation whose message `index` is changed wherever it is sent, again and again. */
function negotiate(
  seed: number,
  index: number,
  change: (open: OpenMessage) => Change | undefined,
  proved: boolean,
): { net: Simulation; a: Host; b: Host; changed: boolean } {
  const { net, a, b } = twoHosts(seed, { maxDelayMs: 1 });
  const tap = new Wiretap(a, { encryption: '3des', hash: 'sha1', group: 1 }, 'secret');
  const seen = new Map<string, Uint8Array>();
  let changed = false;
  net.translate = datagram => {
    const key = toHex(datagram.bytes);
    const known = seen.get(key);
    if (known !== undefined) return { ...datagram, bytes: known };
    const open = tap.follows(datagram.bytes) ? read(tap, datagram.bytes, changed) : undefined;
    if (open === undefined) return datagram;
    const picked = seen.size === index ? change(open) : undefined;
    changed ||= picked !== undefined;
    const { header, body } = picked ?? open;
    const bytes = tap.seal(open, header, body, proved && picked !== undefined);
    seen.set(key, bytes);
    return { ...datagram, bytes };
  };
  net.acquire(a);
  net.run(300_000, () => a.acquired.length + a.failures.length > 0);
  net.run(70_000);
  return { net, a, b, changed };
}

for (const proved of [false, true])
  test(`every field of every payload wrong in turn, ${proved ? 'and the hash made to fit' : 'the hash as it was'}`, () => {
    const seed = 20_261;
    const random = generator(seed);
    const reasons = new Map<string, number>();
    let negotiations = 0;
    for (let index = proved ? 6 : 0; index < messages; index++) {
      const changes: Change[] = [];
      negotiate(seed, index, open => void changes.push(...changesOf(open, random)), proved);
      assert.ok(changes.length > 30, `message ${index + 1} was seen`);
      for (const change of changes) {
        const where = `seed ${seed}, message ${index + 1}, ${change.what}`;
        const { net, a, b, changed } = negotiate(seed, index, () => change, proved);
        assert.ok(changed, where);
        negotiations++;
        assert.equal(a.engine.statistics().activeAcquire, 0, `${where}: stuck`);
        const [failure] = a.failures;
        if (failure) {
          if (failure.message === 'quick mode 2')
            assert.equal(b.removed[0]?.reason, 'deleted by the peer', `${where}: nobody told the responder`);
          assert.ok(failure.text.length > 10 && failure.next.length > 10, `${where}: ${failure.text}`);
          assert.ok(
            a.audits.some(({ id }) => id === 547 || id === 544 || id === 545),
            `${where}: no event`,
          );
        } else {
          assert.equal(a.acquired.length, 1, where);
          // A peer that proves another SPI or key than it has deceives nobody but itself.
          assert.ok(
            proved || works(a, b) || a.pairs.size + b.pairs.size === 0,
            `${where}: the two ends differ`,
          );
        }
        const outcome = failure?.reason ?? 'acquired';
        reasons.set(outcome, (reasons.get(outcome) ?? 0) + 1);

        net.translate = datagram => datagram;
        for (const host of [a, b]) net.apply(host, host.engine.closeAll(net.nowMs, 'the test is over'));
        net.run(200_000);
        for (const host of [a, b]) {
          assert.equal(host.engine.nextWakeMs(), undefined, `${where}: a timer is left`);
          assert.equal(host.engine.mainModes().length, 0, `${where}: a main mode is left`);
          assert.equal(host.engine.statistics().connectionListSize, 0, `${where}: a pair is left`);
          assert.equal(host.pairs.size, 0, `${where}: the driver keeps a pair`);
        }
        net.acquire(a);
        assert.ok(
          net.run(200_000, () => works(a, b)),
          `${where}: the next negotiation fails: ${a.failures.at(-1)?.text}`,
        );
      }
    }
    console.log(
      `${negotiations} negotiations, seed ${seed}:`,
      Object.fromEntries([...reasons].sort(([, x], [, y]) => y - x)),
    );
    assert.ok(reasons.size >= (proved ? 4 : 5), `${[...reasons.keys()]}`);
  });

test('the tap reads what was said', () => {
  const said: string[] = [];
  for (let index = 0; index < messages; index++)
    negotiate(
      7,
      index,
      ({ chain }) => void said.push(chain.payloads.map(({ payload }) => payload.kind).join(' ')),
      false,
    );
  assert.deepEqual(
    said.map(kinds => kinds.replaceAll(/( vid)+/g, ' vid')),
    [
      'sa vid',
      'sa vid',
      'ke nonce nat-d nat-d',
      'ke nonce nat-d nat-d',
      'id hash notify',
      'id hash',
      'hash sa nonce id id',
      'hash sa nonce id id',
      'hash',
    ],
  );
});
