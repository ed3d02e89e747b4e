import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import {
  collectionFromDocument,
  collectionToDocument,
  policyJsonSchema,
  policyToDocument,
} from '../../src/policy/document.js';
import { SchemaError } from '../../src/policy/schema.js';
import { SeededRandom } from '../support/random.js';
import { randomPolicy } from '../support/random-policy.js';
import { randomStore } from '../support/random-store.js';

const file = 'schema/ipseckit-policy.schema.json';
const text = `${JSON.stringify(policyJsonSchema(), null, 2)}\n`;
if (process.env.IPSECKIT_UPDATE) writeFileSync(file, text);

describe('the JSON Schema of policies', () => {
  const validate = new Ajv2020({ strict: true }).compile(policyJsonSchema());

  test(`is what ${file} says (IPSECKIT_UPDATE=1 writes it)`, () => {
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), JSON.parse(text));
  });

  test('describes every document that is written', t => {
    const seed = Number(process.env.IPSECKIT_SEED ?? 91);
    t.diagnostic(`seed ${seed}`);
    for (const document of documents(new SeededRandom(seed), 200))
      assert.ok(validate(document), JSON.stringify(validate.errors?.slice(0, 3)));
  });

  test('refuses what the reader refuses for its shape, and nothing else', t => {
    const seed = Number(process.env.IPSECKIT_SEED ?? 92);
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const counts = { refused: 0, read: 0 };
    for (const document of documents(random, 150))
      for (let i = 0; i < 10; i++) {
        const { mutant, change } = mutate(random, document);
        const isRead = reads(mutant);
        counts[isRead ? 'read' : 'refused']++;
        assert.equal(validate(mutant), isRead, `${change}: ${JSON.stringify(mutant).slice(0, 400)}`);
      }
    assert.ok(counts.refused > 500 && counts.read > 50, JSON.stringify(counts));
  });
});

function* documents(random: SeededRandom, count: number): Generator<unknown> {
  for (let i = 0; i < count; i++) {
    const document =
      i % 2 === 0
        ? collectionToDocument(randomStore(random))
        : policyToDocument(randomPolicy(random, { ipv6: true, tunnels: true }));
    yield JSON.parse(JSON.stringify(document));
  }
}

function reads(document: unknown): boolean {
  try {
    collectionFromDocument(document);
    return true;
  } catch (error) {
    assert.ok(error instanceof SchemaError, String(error));
    return false;
  }
}

/** A copy with one change somewhere: a field gone, added, or of another value. */
function mutate(random: SeededRandom, document: unknown): { mutant: unknown; change: string } {
  const mutant: unknown = structuredClone(document);
  const objects: Record<string, unknown>[] = [];
  const collect = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    if (!Array.isArray(value) && Object.keys(value).length > 0)
      objects.push(value as Record<string, unknown>);
    for (const each of Object.values(value)) collect(each);
  };
  collect(mutant);
  const target = random.pick(objects);
  const name = random.pick(Object.keys(target));
  switch (random.int(4)) {
    case 0:
      delete target[name];
      return { mutant, change: `without ${name}` };
    case 1:
      target[`${name}2`] = 1;
      return { mutant, change: `with ${name}2` };
    case 2:
      target[name] = random.pick([null, -1, 1.5, 0x1_0000_0000, 'x y', [], {}, true]);
      return { mutant, change: `${name} is ${JSON.stringify(target[name])}` };
    default:
      target[name] = target[random.pick(Object.keys(target))];
      return { mutant, change: `${name} is ${JSON.stringify(target[name])?.slice(0, 60)}` };
  }
}
