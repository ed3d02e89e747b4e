import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { describeFilter } from '../../../../src/policy/describe.js';
import { printIpsecpolMethod } from '../../../../src/policy/ipsecpol/security-method.js';
import type { Guid, Policy } from '../../../../src/policy/model.js';
import { policyDefaults } from '../../../../src/policy/model.js';
import { NoteBook } from '../../../../src/policy/note.js';
import { actionFromData } from '../../../../src/policy/stores/registry/action-model.js';
import { filterData } from '../../../../src/policy/stores/registry/filter-data.js';
import { filtersFromData } from '../../../../src/policy/stores/registry/filter-model.js';
import type { Blob } from '../../../../src/policy/stores/registry/frame.js';
import { isakmpData } from '../../../../src/policy/stores/registry/isakmp-data.js';
import { keyExchangeFromData } from '../../../../src/policy/stores/registry/isakmp-model.js';
import { actionGuids, negotiationData } from '../../../../src/policy/stores/registry/negotiation-data.js';
import { nfaData } from '../../../../src/policy/stores/registry/nfa-data.js';
import { policyData } from '../../../../src/policy/stores/registry/policy-data.js';
import { ruleFromData } from '../../../../src/policy/stores/registry/rule-model.js';
import { fromHex, toHex, WireError } from '../../../../src/wire/bytes.js';
import { SeededRandom } from '../../../support/random.js';

interface Vector {
  readonly name: string;
  readonly hex: string;
}

const vectors: readonly Vector[] = JSON.parse(
  readFileSync('test/fixtures/policy-store/vectors.json', 'utf8'),
);
const bytesOf = (letter: string): Uint8Array => {
  const vector = vectors.find(({ name }) => name.startsWith(`${letter} `));
  assert.ok(vector, letter);
  return fromHex(vector.hex);
};
const negotiate = actionGuids.negotiate as Guid;
const id = '{00000000-0000-4000-8000-000000000001}' as Guid;
const actionOf = (letter: string) =>
  actionFromData(id, negotiate, negotiationData.decode(bytesOf(letter)).offers, new NoteBook());

describe('worked blobs', () => {
  test('A: a polling interval', () => {
    assert.deepEqual(policyData.decode(bytesOf('A')), { pollingSeconds: 10_800 });
    assert.equal(policyDefaults.pollIntervalMinutes * 60, 10_800);
  });

  test('B: block and permit have no offers', () => {
    assert.deepEqual(negotiationData.decode(bytesOf('B')), { offers: [] });
  });

  test('C: two offers', () => {
    const action = actionOf('C');
    assert.ok(action?.kind === 'negotiate');
    assert.deepEqual(action.methods.map(printIpsecpolMethod), [
      'ESP[3DES,SHA]3600S/100000K',
      'AH[SHA]+ESP[DES,MD5]900S',
    ]);
    assert.equal(action.allowFallback, false);
  });

  test('D: an empty last offer allows falling back', () => {
    const action = actionOf('D');
    assert.ok(action?.kind === 'negotiate');
    assert.deepEqual(action.methods.map(printIpsecpolMethod), ['ESP[3DES,SHA]']);
    assert.equal(action.allowFallback, true);
  });

  for (const letter of ['E', 'F'])
    test(`${letter}: a filter`, () => {
      const [filter, ...others] = filtersFromData(filterData.decode(bytesOf(letter)), new NoteBook());
      assert.ok(filter);
      assert.equal(others.length, 0);
      assert.equal(describeFilter(filter), '0+198.51.100.0/255.255.255.0:23:TCP');
      assert.equal(filter.id, '{A0A0A0A0-B1B1-4C2C-8D3D-E4E4E4E4E4E4}');
    });

  const rules: Record<
    string,
    [kinds: string[], type: string, endpoint: string | undefined, active: boolean]
  > = {
    G: [['preshared'], 'all', undefined, true],
    H: [['kerberos'], 'lan', '203.0.113.9', true],
    I: [['kerberos'], 'all', undefined, false],
  };
  for (const [letter, [kinds, connectionType, endpoint, active]] of Object.entries(rules))
    test(`${letter}: a rule`, () => {
      const rule = ruleFromData(nfaData.decode(bytesOf(letter)), new NoteBook());
      assert.deepEqual(
        rule.authentication.map(({ kind }) => kind),
        kinds,
      );
      assert.equal(rule.connectionType, connectionType);
      assert.equal(rule.active, active);
      assert.equal(rule.tunnelEndpoint?.kind === 'host' ? rule.tunnelEndpoint.address : undefined, endpoint);
      const [method] = rule.authentication;
      if (letter === 'G') assert.equal(method?.kind === 'preshared' && method.key.reveal(), 'Sekret');
    });

  test('K: main mode settings', () => {
    assert.deepEqual(keyExchangeFromData(isakmpData.decode(bytesOf('K')), new NoteBook()), {
      masterKeyPfs: false,
      lifetimeSeconds: 28_800,
      quickModeLimit: 0,
      methods: [{ encryption: '3des', hash: 'sha1', group: 2 }],
    } satisfies Policy['keyExchange']);
  });

  const written = {
    A: recode(policyData),
    B: recode(negotiationData),
    C: recode(negotiationData),
    D: recode(negotiationData),
    E: recode(filterData),
    G: recode(nfaData),
    H: recode(nfaData),
    I: recode(nfaData),
    K: recode(isakmpData),
  };
  for (const [letter, again] of Object.entries(written))
    test(`${letter} is written byte for byte`, () => {
      assert.equal(toHex(again(bytesOf(letter))), toHex(bytesOf(letter)));
    });
});

function recode<T>(codec: Blob<T>): (bytes: Uint8Array) => Uint8Array {
  return bytes => codec.encode(codec.decode(bytes));
}

describe('garbage and lies', () => {
  test('garbage in reserved fields changes nothing', () => {
    const method = bytesOf('K');
    for (const [from, to] of [
      [20, 40],
      [60, 80],
      [84, 88],
      [92, 100],
      [104, 120],
      [121, 128],
      [136, 140],
      [144, 149],
    ] as const)
      method.fill(0xcd, from, to);
    assert.deepEqual(isakmpData.decode(method), isakmpData.decode(bytesOf('K')));
    const offers = bytesOf('C');
    offers.fill(0xcd, 32, 36);
    offers.fill(0xcd, 56, 104);
    assert.deepEqual(negotiationData.decode(offers), negotiationData.decode(bytesOf('C')));
  });

  test('errors say what and where', () => {
    const lie = bytesOf('C');
    lie[20] = 0xff;
    assert.throws(() => negotiationData.decode(lie), {
      name: 'WireError',
      reason: 'too-many',
      offset: 24,
      message: /ipsecNegotiationPolicy, offers: 255 take at least 20400 bytes, 161 are left/,
    });
    assert.throws(() => negotiationData.decode(bytesOf('A')), { reason: 'bad-value', offset: 0 });
    const long = bytesOf('A');
    long[17] = 1;
    assert.throws(() => policyData.decode(long), { reason: 'bad-length', offset: 16 });
    assert.throws(() => nfaData.decode(bytesOf('G').subarray(0, 60)), { reason: 'bad-length' });
    const odd = bytesOf('G');
    odd[28] = 13;
    assert.throws(() => nfaData.decode(odd), { reason: 'bad-length', offset: 32 });
  });

  test('any bytes: a value or a WireError', t => {
    const seed = 20;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const blobs = vectors.map(({ hex }) => fromHex(hex));
    let read = 0;
    let refused = 0;
    for (let i = 0; i < 200_000; i++) {
      const bytes = Uint8Array.from(random.pick(blobs));
      for (let n = random.between(1, 4); n > 0; n--)
        bytes[16 + random.int(bytes.length - 16)] = random.chance(0.3)
          ? random.pick([0, 1, 0xff])
          : random.u32();
      const input = random.chance(0.2) ? bytes.subarray(0, random.int(bytes.length)) : bytes;
      const decoder = random.chance(0.95) ? decoders[bytes[0] ?? 0] : random.pick(Object.values(decoders));
      try {
        decoder?.(input);
        read++;
      } catch (error) {
        assert.ok(error instanceof WireError, `${error}`);
        refused++;
      }
    }
    assert.ok(read > 20_000 && refused > 20_000, `${read} read, ${refused} refused`);
  });
});

/** By the first byte of the type GUID. What makes a model of a blob must take everything a blob can hold. */
const decoders: Record<number, (bytes: Uint8Array) => unknown> = {
  99: bytes => policyData.decode(bytes),
  185: bytes => actionFromData(id, negotiate, negotiationData.decode(bytes).offers, new NoteBook()),
  181: bytes => filtersFromData(filterData.decode(bytes), new NoteBook()),
  0: bytes => ruleFromData(nfaData.decode(bytes), new NoteBook()),
  184: bytes => keyExchangeFromData(isakmpData.decode(bytes), new NoteBook()),
};
