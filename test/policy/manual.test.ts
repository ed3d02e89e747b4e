import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { collectionToDocument } from '../../src/policy/document.js';
import { SeededRandom } from '../support/random.js';
import { randomStore } from '../support/random-store.js';

test('the manual names every field and word of the JSON format', t => {
  const seed = 50;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const manual = readFileSync('man/ipseckit-policy.5', 'utf8');
  const words = new Set<string>();
  for (let i = 0; i < 100; i++)
    JSON.parse(JSON.stringify(collectionToDocument(randomStore(random))), (key, value) => {
      if (/^[a-zA-Z]+$/.test(key)) words.add(key);
      if ((key === 'kind' || key === 'connectionType') && typeof value === 'string') words.add(value);
      return value;
    });
  assert.ok(words.size > 60, `${words.size} words`);
  for (const word of words) assert.match(manual, new RegExp(`\\b${word}\\b`), word);
});
