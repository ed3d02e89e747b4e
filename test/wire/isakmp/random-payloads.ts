import type { DataAttribute } from '../../../src/wire/isakmp/attributes.js';
import { idDataLengths } from '../../../src/wire/isakmp/identification.js';
import type { MessageHeader } from '../../../src/wire/isakmp/message.js';
import { decodeLimits, idTypes, natPayloadTypes } from '../../../src/wire/isakmp/numbers.js';
import type { Payload, PayloadKind, Proposal } from '../../../src/wire/isakmp/payloads.js';
import type { SeededRandom } from '../../support/random.js';

const natRevisions = Object.values(natPayloadTypes);

function many<T>(random: SeededRandom, low: number, high: number, make: () => T): T[] {
  return Array.from({ length: random.between(low, high) }, make);
}

export function randomAttributes(random: SeededRandom, high = 8): DataAttribute[] {
  return many(random, 0, high, () => {
    const type = random.chance(0.9) ? random.int(18) : random.int(0x8000);
    return random.chance(0.7)
      ? { form: 'tv', type, value: random.int(0x10000) }
      : { form: 'tlv', type, bytes: random.bytes(random.int(12)) };
  });
}

function randomProposal(random: SeededRandom): Proposal {
  return {
    number: random.int(256),
    protocol: random.between(1, 4),
    spi: random.bytes(random.pick([0, 4, 8, 16])),
    transforms: many(random, 1, 10, () => ({
      number: random.int(256),
      transformId: random.int(256),
      attributes: randomAttributes(random),
    })),
  };
}

function randomId(random: SeededRandom): Payload {
  const idType = random.pick([...Object.values(idTypes), random.int(256)]);
  const data = random.bytes(idDataLengths[idType] ?? random.between(1, 40));
  return { kind: 'id', idType, protocol: random.int(256), port: random.int(0x10000), data };
}

function randomDelete(random: SeededRandom): Payload {
  const length = random.between(1, decodeLimits.spiBytes);
  const spis = many(random, 1, 6, () => random.bytes(length));
  return { kind: 'delete', doi: random.u32(), protocol: random.int(256), spis };
}

function randomNatOa(random: SeededRandom): Payload {
  const idType = random.pick([idTypes.IPV4_ADDR, idTypes.IPV6_ADDR]);
  const address = random.bytes(idDataLengths[idType] ?? 0);
  return { kind: 'nat-oa', type: random.pick(natRevisions).natOa, idType, address };
}

/** How to make a valid payload of each kind. */
const makers: { readonly [K in PayloadKind]: (random: SeededRandom) => Payload } = {
  sa: random => ({
    kind: 'sa',
    doi: 1,
    situation: 1,
    proposals: many(random, 1, 5, () => randomProposal(random)),
  }),
  ke: random => ({ kind: 'ke', data: random.bytes(random.between(1, 300)) }),
  id: randomId,
  cert: random => ({ kind: 'cert', encoding: random.int(256), data: random.bytes(random.between(1, 900)) }),
  certreq: random => ({
    kind: 'certreq',
    encoding: random.int(256),
    authority: random.bytes(random.int(100)),
  }),
  hash: random => ({ kind: 'hash', data: random.bytes(random.between(1, 64)) }),
  sig: random => ({ kind: 'sig', data: random.bytes(random.between(1, 512)) }),
  nonce: random => ({ kind: 'nonce', data: random.bytes(random.between(8, 256)) }),
  notify: random => ({
    kind: 'notify',
    doi: random.u32(),
    protocol: random.int(256),
    notifyType: random.int(0x10000),
    spi: random.bytes(random.between(0, decodeLimits.spiBytes)),
    data: random.bytes(random.int(40)),
  }),
  delete: randomDelete,
  vid: random => ({ kind: 'vid', data: random.bytes(random.int(40)) }),
  attributes: random => ({
    kind: 'attributes',
    messageType: random.int(256),
    identifier: random.int(0x10000),
    attributes: randomAttributes(random),
  }),
  'nat-d': random => ({
    kind: 'nat-d',
    type: random.pick(natRevisions).natD,
    data: random.bytes(random.between(1, 64)),
  }),
  'nat-oa': randomNatOa,
  'gss-token': random => ({ kind: 'gss-token', data: random.bytes(random.between(1, 600)) }),
  fragment: random => ({
    kind: 'fragment',
    fragmentId: random.int(0x10000),
    number: random.int(256),
    flags: random.int(2),
    data: random.bytes(random.between(1, 520)),
  }),
  unknown: random => ({
    kind: 'unknown',
    type: random.pick([17, 19, 22, 127, 128, 133, 255]),
    data: random.bytes(random.int(30)),
  }),
};

/** Every kind of payload there is. */
export const payloadKinds = Object.keys(makers) as PayloadKind[];

/** A valid payload of that kind. */
export function randomPayload(random: SeededRandom, kind: PayloadKind): Payload {
  return makers[kind](random);
}

/** Valid payloads that may stand in one message. */
export function randomPayloads(random: SeededRandom): Payload[] {
  if (random.chance(0.05)) return [randomPayload(random, 'fragment')];
  const kinds = payloadKinds.filter(kind => kind !== 'fragment');
  return many(random, 0, 8, () => randomPayload(random, random.pick(kinds)));
}

/** A valid header of a clear message. */
export function randomHeader(random: SeededRandom): MessageHeader {
  return {
    initiatorCookie: Uint8Array.from([1, ...random.bytes(7)]),
    responderCookie: random.bytes(8),
    exchangeType: random.int(256),
    flags: random.int(128) * 2,
    messageId: random.u32(),
    version: 0x10 + random.int(16),
  };
}
