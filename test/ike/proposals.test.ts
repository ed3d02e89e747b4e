import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Spi } from '../../src/driver/api.js';
import { authenticationOffers } from '../../src/ike/auth/offers.js';
import {
  acceptMainMode,
  answerMainMode,
  chooseMainMode,
  mainModeSa,
} from '../../src/ike/main-mode-proposal.js';
import {
  acceptQuickMode,
  answerQuickMode,
  chooseQuickMode,
  type QuickModeOffer,
  quickModeSa,
} from '../../src/ike/quick-mode-proposal.js';
import { readTransform } from '../../src/ike/transform-attributes.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { tlv, tlvNumber, tv } from '../../src/wire/isakmp/attributes.js';
import { encodePayloadBody } from '../../src/wire/isakmp/message.js';
import type { SaPayload, Transform } from '../../src/wire/isakmp/payloads.js';
import { mainModePolicy } from './harness.js';

const policy = mainModePolicy({
  methods: [
    { encryption: '3des', hash: 'sha1', group: 2 },
    { encryption: 'aes256', hash: 'sha256', group: 14 },
  ],
});

const withTransforms = (sa: SaPayload, change: (transform: Transform) => Transform): SaPayload => ({
  ...sa,
  proposals: sa.proposals.map(proposal => ({ ...proposal, transforms: proposal.transforms.map(change) })),
});

describe('main mode', () => {
  test('our offer, byte for byte, in the short and in the Windows form', () => {
    const body = (windows: boolean) => toHex(encodePayloadBody(mainModeSa(policy, windows)));
    const head = (length: string) => `0000000100000001 000000${length} 01010002`;
    const first = '80010005 80020002 80040002 80030001 800b0001';
    const second = '80010007 800e0100 80020004 8004000e 80030001 800b0001';
    const join = (text: string) => toHex(fromHex(text));
    assert.equal(
      body(false),
      join(`${head('4c')} 03000020 01010000 ${first} 800c7080 00000024 02010000 ${second} 800c7080`),
    );
    assert.equal(
      body(true),
      join(
        `${head('54')} 03000024 01010000 ${first} 000c000400007080 00000028 02010000 ${second} 000c000400007080`,
      ),
    );
  });

  test('integers compare in either form, unknown attributes are skipped and not returned', () => {
    const offer = withTransforms(mainModeSa(policy, false), transform => ({
      ...transform,
      attributes: [
        ...transform.attributes.map(attribute =>
          attribute.form === 'tv' ? tlvNumber(attribute.type, attribute.value) : attribute,
        ),
        tlv(16384, fromHex('0102')),
        tv(12_345, 1),
      ],
    }));
    const verdict = chooseMainMode(offer, policy);
    assert.ok('chosen' in verdict);
    const [authentication] = authenticationOffers(policy);
    assert.deepEqual(verdict.chosen, {
      method: policy.methods[0],
      authentication,
      lifetimeSeconds: 28_800,
      offeredSeconds: 28_800,
    });
    const answer = answerMainMode(verdict.proposal, verdict.transform);
    const types = answer.proposals[0]?.transforms[0]?.attributes.map(({ type }) => type);
    assert.deepEqual(types, [1, 2, 4, 3, 11, 12, 16_384]);
    assert.ok('chosen' in acceptMainMode(answer, policy));
  });

  test('one bad transform does not spoil the others; it is named', () => {
    const offer = mainModeSa(policy, false);
    const changes: [string, (transform: Transform) => Transform][] = [
      ['transform', t => ({ ...t, attributes: [...t.attributes, tv(1, 5)] })],
      ['transform', t => ({ ...t, attributes: [tv(12, 100), ...t.attributes] })],
      ['transform id', t => ({ ...t, transformId: 7 })],
      ['PRF', t => ({ ...t, attributes: [...t.attributes, tv(13, 1)] })],
      ['group prime', t => ({ ...t, attributes: [...t.attributes, tlv(6, fromHex('0b'))] })],
      ['authentication', t => ({ ...t, attributes: t.attributes.map(a => (a.type === 3 ? tv(3, 3) : a)) })],
      ['encryption', t => ({ ...t, attributes: [...t.attributes, tv(14, 192)] })],
      ['hash', t => ({ ...t, attributes: t.attributes.filter(({ type }) => type !== 2) })],
      [
        'hash',
        t => ({ ...t, attributes: t.attributes.map(a => (a.type === 2 ? tlv(2, new Uint8Array(0)) : a)) }),
      ],
    ];
    for (const [attribute, change] of changes) {
      const spoiled = withTransforms(offer, transform =>
        transform.number === 1 ? change(transform) : transform,
      );
      const verdict = chooseMainMode(spoiled, policy);
      assert.ok('chosen' in verdict, attribute);
      assert.equal(verdict.transform.number, 2);
      const only = mainModePolicy({ methods: policy.methods.slice(0, 1) });
      const alone = chooseMainMode(
        {
          ...spoiled,
          proposals: spoiled.proposals.map(p => ({ ...p, transforms: p.transforms.slice(0, 1) })),
        },
        only,
      );
      assert.ok('refused' in alone);
      assert.ok(
        alone.refused.some(mismatch => mismatch.attribute === attribute && mismatch.transform === 1),
        attribute,
      );
    }
  });

  test('an offer of many transforms costs as little as one of a few: ours are looked at once', () => {
    let reads = 0;
    const counting = policy.methods.map(
      method =>
        new Proxy(method, {
          get: (target, property, receiver) => {
            reads++;
            return Reflect.get(target, property, receiver);
          },
        }),
    );
    const other = mainModePolicy({
      methods: Array.from({ length: 200 }, () => ({ encryption: 'des', hash: 'md5', group: 1 }) as const),
    });
    const verdict = chooseMainMode(mainModeSa(other, false), mainModePolicy({ methods: counting }));
    assert.ok('refused' in verdict);
    assert.ok(reads <= 5 * counting.length, `${reads}`);
    // What was wrong with it is worked out for who asks, of a few of them.
    const transforms = new Set(verdict.refused.map(({ transform }) => transform));
    assert.deepEqual([...transforms], [1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('an answer of more than one transform, or of what was not offered, is refused', () => {
    assert.ok('refused' in acceptMainMode(mainModeSa(policy, false), policy));
    const other = mainModePolicy({ methods: [{ encryption: 'des', hash: 'md5', group: 1 }] });
    const verdict = acceptMainMode(mainModeSa(other, false), policy);
    assert.ok('refused' in verdict && verdict.refused.length > 0);
  });
});

describe('quick mode', () => {
  const spis = { esp: 0x1234_5678 as Spi, ah: 0x9abc_def0 as Spi };
  const peerSpis = { esp: 0x1111_1111 as Spi, ah: 0x2222_2222 as Spi };
  const offer: QuickModeOffer = {
    methods: [
      { ah: { hash: 'sha1' }, esp: { encryption: '3des', hash: 'md5' } },
      { esp: { encryption: 'aes128', hash: 'sha1' }, lifetimeSeconds: 900, lifetimeKilobytes: 70_000 },
      { esp: { encryption: 'aes256gcm' } },
    ],
    encapsulation: 1,
    mainModeGroup: 2,
  };

  test('AH and ESP of one method share a proposal number and stand together', () => {
    const { proposals } = quickModeSa(offer, spis, false);
    assert.deepEqual(
      proposals.map(({ number, protocol, spi, transforms }) => [
        number,
        protocol,
        toHex(spi),
        transforms.map(t => t.transformId),
      ]),
      [
        [1, 2, '9abcdef0', [3]],
        [1, 3, '12345678', [3]],
        [2, 3, '12345678', [12]],
        [3, 3, '12345678', [20]],
      ],
    );
    const gcm = readTransform(2, proposals[3]?.transforms[0]?.attributes ?? []);
    assert.deepEqual(
      [...gcm.values],
      [
        [6, 256],
        [4, 1],
      ],
      'a key length, no authentication',
    );
    const timed = readTransform(2, proposals[2]?.transforms[0]?.attributes ?? []);
    assert.deepEqual([timed.lifetimeSeconds, timed.lifetimeKilobytes], [900, 70_000]);
  });

  test("the answer holds both protocols, with the responder's SPIs and the attributes as they came", () => {
    const asked = quickModeSa(offer, spis, true);
    const verdict = chooseQuickMode(asked, offer, false);
    assert.ok('chosen' in verdict);
    assert.deepEqual(verdict.chosen.peerSpis, spis);
    const answer = answerQuickMode(verdict.chosen, peerSpis);
    assert.deepEqual(
      answer.proposals.map(({ number, protocol, spi }) => [number, protocol, toHex(spi)]),
      [
        [1, 2, '22222222'],
        [1, 3, '11111111'],
      ],
    );
    assert.deepEqual(answer.proposals[1]?.transforms, asked.proposals[1]?.transforms);
    const accepted = acceptQuickMode(answer, offer, false);
    assert.ok('chosen' in accepted);
    assert.deepEqual(accepted.chosen.peerSpis, peerSpis);
  });

  test('a peer that renumbers its answer is understood', () => {
    const verdict = chooseQuickMode(
      quickModeSa({ ...offer, methods: offer.methods.slice(2) }, spis, false),
      offer,
      false,
    );
    assert.ok('chosen' in verdict);
    const answer = answerQuickMode(verdict.chosen, peerSpis);
    const renumbered = {
      ...answer,
      proposals: answer.proposals.map(proposal => ({ ...proposal, number: 1 })),
    };
    const accepted = acceptQuickMode(renumbered, offer, false);
    assert.ok('chosen' in accepted && accepted.chosen.method === offer.methods[2]);
  });

  test('a refusal tells of each transform of a proposal', () => {
    const offered: QuickModeOffer['methods'] = [
      { esp: { encryption: '3des', hash: 'sha1' } },
      { esp: { encryption: 'aes128', hash: 'sha256' } },
    ];
    const apart = quickModeSa({ ...offer, methods: offered }, spis, false);
    const [first] = apart.proposals;
    assert.ok(first);
    const transforms = apart.proposals.flatMap((proposal, index) =>
      proposal.transforms.map(transform => ({ ...transform, number: index + 1 })),
    );
    const wanted = { ...offer, methods: [{ esp: { encryption: 'aes128', hash: 'sha1' } }] as const };
    const verdict = chooseQuickMode({ ...apart, proposals: [{ ...first, transforms }] }, wanted, false);
    assert.ok('refused' in verdict);
    assert.deepEqual(
      verdict.refused.map(({ transform, attribute, offered: value }) => [transform, attribute, value]),
      [
        [1, 'encryption', '3DES'],
        [2, 'authentication', 'HMAC-SHA2-256'],
      ],
    );
  });

  test('refused: reserved SPIs, extended sequence numbers, no encapsulation, a KE payload without a group', () => {
    const asked = quickModeSa({ ...offer, methods: offer.methods.slice(2) }, spis, false);
    const refusedFor = (sa: SaPayload, keyExchange = false) => {
      const verdict = chooseQuickMode(sa, offer, keyExchange);
      return 'refused' in verdict ? verdict.refused.map(({ attribute }) => attribute) : ['accepted'];
    };
    assert.deepEqual(refusedFor(asked), ['accepted']);
    assert.deepEqual(
      refusedFor({ ...asked, proposals: asked.proposals.map(p => ({ ...p, spi: fromHex('000000ff') })) }),
      ['SPI'],
    );
    assert.deepEqual(
      refusedFor({ ...asked, proposals: asked.proposals.map(p => ({ ...p, spi: fromHex('0102') })) }),
      ['SPI'],
    );
    assert.deepEqual(
      refusedFor(withTransforms(asked, t => ({ ...t, attributes: [...t.attributes, tv(11, 1)] }))),
      ['ESN'],
    );
    assert.deepEqual(
      refusedFor(
        withTransforms(asked, t => ({ ...t, attributes: t.attributes.filter(({ type }) => type !== 4) })),
      ),
      ['encapsulation'],
    );
    assert.deepEqual(refusedFor(asked, true), ['PFS group']);
    assert.deepEqual(
      refusedFor(
        withTransforms(asked, t => ({ ...t, attributes: [...t.attributes, tv(3, 31)] })),
        true,
      ),
      ['PFS group'],
    );
  });

  test('extended sequence numbers: attribute 11 in every transform, and they are wanted or they are not', () => {
    const plain: QuickModeOffer['methods'][number] = { ah: { hash: 'sha1' }, esp: { encryption: '3des' } };
    const extended = { ...plain, extendedSequence: true };
    const withMethods = (...methods: QuickModeOffer['methods']) => ({ ...offer, methods });
    const asked = quickModeSa(withMethods(extended), spis, false);
    assert.deepEqual(
      asked.proposals.map(({ transforms: [only] }) => only?.attributes.filter(({ type }) => type === 11)),
      [[tv(11, 1)], [tv(11, 1)]],
    );
    const refusal = (sa: SaPayload, ...own: QuickModeOffer['methods']) => {
      const verdict = chooseQuickMode(sa, withMethods(...own), false);
      assert.ok('refused' in verdict);
      return verdict.refused[0];
    };
    const taken = chooseQuickMode(asked, withMethods(plain, extended), false);
    assert.ok('chosen' in taken && taken.chosen.method === extended);
    const place = { proposal: 1, transform: 1, attribute: 'ESN' };
    assert.deepEqual(refusal(asked, plain), { ...place, wanted: 'absent', offered: 'ESN' });
    const without = quickModeSa(withMethods(plain), spis, false);
    assert.deepEqual(refusal(without, extended), { ...place, wanted: 'ESN', offered: 'absent' });
    const [first, ...others] = asked.proposals;
    assert.ok(first);
    const half = { ...asked, proposals: [withoutEsn(first), ...others] };
    assert.equal(
      refusal(half, plain, extended)?.attribute,
      'ESN',
      'one SA of a bundle with, the other without',
    );
    // An initiator takes back what it offered, and nothing else.
    assert.ok('chosen' in acceptQuickMode(asked, withMethods(extended), false));
    assert.ok('refused' in acceptQuickMode(without, withMethods(extended), false));
    assert.ok('refused' in acceptQuickMode(asked, withMethods(plain), false));
  });
});

function withoutEsn(proposal: SaPayload['proposals'][number]): SaPayload['proposals'][number] {
  return {
    ...proposal,
    transforms: proposal.transforms.map(transform => ({
      ...transform,
      attributes: transform.attributes.filter(({ type }) => type !== 11),
    })),
  };
}
