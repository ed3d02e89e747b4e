import assert from 'node:assert/strict';
import { createDecipheriv, createHmac } from 'node:crypto';
import { describe, test } from 'node:test';
import { encryption, encryptionIds, type HashId, hash } from '../../src/crypto/algorithms.js';
import {
  createEspOpener,
  createEspSealer,
  type EspKeys,
  espKeyFault,
  espLayout,
} from '../../src/crypto/packet-cipher.js';
import { RandomPool } from '../../src/crypto/random-pool.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import { espHeaderBytes, writeEspHeader } from '../../src/wire/esp.js';
import { SeededRandom } from '../support/random.js';

const none = new Uint8Array(0);

function opened(keys: EspKeys, packet: string): string | undefined {
  assert.equal(espKeyFault(keys), undefined);
  const [plaintext] = createEspOpener(keys).open([fromHex(packet)]);
  return plaintext && toHex(plaintext);
}

function hex(text: string): string {
  return text.replace(/\s+/g, '');
}

const rfc3602 = [
  {
    name: 'case 5: transport, ping',
    key: '90d382b410eeba7ad938c46cec1a82bf',
    packet: `00004321 00000001 e96e8c08ab465763fd098d45dd3ff893
      f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856
      a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a
      a269add047ad2d5913ac19b7cfbad4a6`,
    plaintext: `08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
      202122232425262728292a2b2c2d2e2f3031323334353637 0102030405060708090a0b0c0d0e 0e01`,
  },
  {
    name: 'case 6: transport, ping with 0x77 padding data',
    key: '90d382b410eeba7ad938c46cec1a82bf',
    packet: `00004321 00000008 69d08df7d203329db093fc4924e5bd80
      f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75`,
    plaintext: '0800b5e8a80a0500a69c083d0b660e00777777777777777777777777 0102 0201',
  },
  {
    name: 'case 7: tunnel, ping',
    key: '0123456789abcdef0123456789abcdef',
    packet: `00008765 00000002 f4e765244f6407adf13dc1380f673f37
      773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad7a0f022b859243c6
      47752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d`,
    plaintext: `45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f
      101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637
      01020304050607080 90a 0a04`,
  },
  {
    name: 'case 8: tunnel, ping of 0xff',
    key: '0123456789abcdef0123456789abcdef',
    packet: `00008765 00000005 85d47224b5f3dd5d2101d4ea8dffab22
      15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3a1b06d5c07ff9639
      b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892`,
    plaintext: `45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300
      ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff 0102030405060708090a 0a04`,
  },
] as const;

describe('ESP transforms: published packets', () => {
  for (const vector of rfc3602) {
    test(`RFC 3602 ${vector.name}`, () => {
      const keys: EspKeys = {
        encryption: 'aes128',
        encryptionKey: fromHex(vector.key),
        integrityKey: none,
      };
      assert.equal(opened(keys, vector.packet), hex(vector.plaintext));
    });
  }

  test('DES-CBC (RFC 2405): FIPS 81 table C1', () => {
    const keys: EspKeys = {
      encryption: 'des',
      encryptionKey: fromHex('0123456789abcdef'),
      integrityKey: none,
    };
    const packet = '00000100 00000001 1234567890abcdef e5c7cdde872bf27c 43e934008c389c0f 683788499a7c05f6';
    assert.equal(opened(keys, packet), Buffer.from('Now is the time for all ').toString('hex'));
  });

  test('3DES-CBC (RFC 2451): first block of the SP 800-67 example', () => {
    const keys: EspKeys = {
      encryption: '3des',
      encryptionKey: fromHex('0123456789abcdef 23456789abcdef01 456789abcdef0123'),
      integrityKey: none,
    };
    const packet = '00000100 00000001 0000000000000000 a826fd8ce53b855f';
    assert.equal(opened(keys, packet), Buffer.from('The qufc').toString('hex'));
  });

  test('3DES-CBC with HMAC-SHA1-96', () => {
    const keys: EspKeys = {
      encryption: '3des',
      hash: 'sha1',
      encryptionKey: fromHex('0123456789abcdef23456789abcdef01456789abcdef0123'),
      integrityKey: fromHex('000102030405060708090a0b0c0d0e0f10111213'),
    };
    const packet = `00001001 00000001 a0a1a2a3a4a5a6a7
      213041748600b8f7f529559e8f0513394b7ebbd1a9d66700840bc7b15d2f11dc f6d95076d546f3f2d7423791`;
    const plaintext = `06a506a5001a0000 ${Buffer.from('ESP transport test').toString('hex')} 01020304 0411`;
    assert.equal(opened(keys, packet), hex(plaintext));
    assert.equal(opened(keys, packet.replace('f6d95076', 'f6d95077')), undefined);
  });

  test('AES-128-GCM: draft-mcgrew-gcm-test-01 case 2', () => {
    const keys: EspKeys = {
      encryption: 'aes128gcm',
      encryptionKey: fromHex('feffe9928665731c6d6a8f9467308308 cafebabe'),
      integrityKey: none,
    };
    const packet = `0000a5f8 0000000a facedbaddecaf888
      deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c
      3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1
      83b70d3aa8bc6ee4c309e9d85a41ad4a`;
    const plaintext = `4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d00100
      000100000000000003736970096379626572636974790264 6b00000100010001`;
    assert.equal(opened(keys, packet), hex(plaintext));
  });

  test('AES-256-GCM: draft-mcgrew-gcm-test-01 case 3', () => {
    const keys: EspKeys = {
      encryption: 'aes256gcm',
      encryptionKey: fromHex('abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344'),
      integrityKey: none,
    };
    const packet = `4a2cbfe3 00000002 0102030405060708
      ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763
      748a637985771d347f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96`;
    const plaintext = `4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee000000000
      7002400020bf0000020405b401010402 01020201`;
    assert.equal(opened(keys, packet), hex(plaintext));
  });

  test('AES-128-GCM with an extended sequence number: draft-mcgrew-gcm-test-01', () => {
    const keys: EspKeys = {
      encryption: 'aes128gcm',
      encryptionKey: fromHex('4c80cdefbb5d10da906ac73c3613a634 2e443b68'),
      integrityKey: none,
      extendedSequence: true,
    };
    const packet = fromHex(`00004321 00000000 4956ed7e3b244cfe
      fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d
      15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732 459018148f6cbe722fd04796562dfdb4`);
    const plaintext = `45000048699a000080114db7c0a80102c0a801010a9bf15638d30100000100000000
      0000045f736970045f756470037369700963796265726369747902646b000021000101020201`;
    const [opened] = createEspOpener(keys).open([packet], [0x8765_4321]);
    assert.equal(opened && toHex(opened), hex(plaintext));
  });
});

/** Every combination that may be negotiated. */
const hashes: readonly (HashId | undefined)[] = [undefined, 'md5', 'sha1', 'sha256', 'sha384', 'sha512'];
const suites = encryptionIds.flatMap(id =>
  hashes
    .filter(h => (encryption(id).tagBytes === undefined ? id !== 'null' || h !== undefined : h === undefined))
    .map(h => ({ encryption: id, ...(h === undefined ? {} : { hash: h }) })),
);

function randomKeys(suite: (typeof suites)[number], random: SeededRandom): EspKeys {
  const row = encryption(suite.encryption);
  const integrityBytes = suite.hash === undefined ? 0 : hash(suite.hash).digestBytes;
  return {
    ...suite,
    encryptionKey: random.bytes(row.keyBytes + row.saltBytes),
    integrityKey: random.bytes(integrityBytes),
  };
}

/** A slot with random plaintext, and that plaintext. */
function randomSlot(keys: EspKeys, blocks: number, sequence: number, random: SeededRandom) {
  const { ivBytes, blockBytes, icvBytes } = espLayout(keys);
  const plaintext = random.bytes(blocks * blockBytes);
  const margin = random.int(40);
  const bytes = new Uint8Array(margin + espHeaderBytes + ivBytes + plaintext.length + icvBytes + 9);
  const end = bytes.length - 9;
  writeEspHeader(bytes, margin, 0x1234, sequence);
  bytes.set(plaintext, margin + espHeaderBytes + ivBytes);
  return { slot: { bytes, start: margin, end, sequenceHigh: 0 }, plaintext };
}

describe('ESP transforms: both halves', () => {
  for (const suite of suites) {
    test(`${suite.encryption} ${suite.hash ?? 'without integrity'}: lost and reordered vectors open`, () => {
      const random = new SeededRandom(4303);
      const keys = randomKeys(suite, random);
      assert.equal(espKeyFault(keys), undefined);
      const sealer = createEspSealer(keys, new RandomPool(length => random.bytes(length)));
      const opener = createEspOpener(keys);
      let sequence = 0;
      const sent = [1, 5, 3, 16].flatMap(count => {
        const vector = Array.from({ length: count }, () =>
          randomSlot(keys, random.between(1, 90), ++sequence, random),
        );
        sealer.seal(vector.map(({ slot }) => slot));
        return vector;
      });
      const arrived = sent
        .filter(() => random.chance(0.8))
        .map(entry => ({ entry, order: random.u32() }))
        .sort((a, b) => a.order - b.order)
        .map(({ entry }) => entry);
      assert.ok(arrived.length > 10);
      for (let at = 0; at < arrived.length; at += 4) {
        const vector = arrived.slice(at, at + 4);
        const packets = vector.map(({ slot }) => slot.bytes.subarray(slot.start, slot.end));
        const results = opener.open(packets);
        vector.forEach(({ plaintext }, i) => {
          const result = results[i];
          assert.ok(result);
          assert.equal(toHex(result), toHex(plaintext));
        });
      }
    });
  }

  test('a CBC packet decrypts on its own with the IV it carries, and IVs do not repeat', () => {
    const random = new SeededRandom(3602);
    const keys = randomKeys({ encryption: 'aes256', hash: 'sha1' }, random);
    const sealer = createEspSealer(keys, new RandomPool(length => random.bytes(length)));
    const ivs = new Set<string>();
    let previousBlock = '';
    for (let sequence = 1; sequence <= 50; sequence++) {
      const { slot, plaintext } = randomSlot(keys, 4, sequence, random);
      sealer.seal([slot]);
      const packet = slot.bytes.subarray(slot.start, slot.end);
      const iv = packet.subarray(8, 24);
      const decipher = createDecipheriv('aes-256-cbc', keys.encryptionKey, iv).setAutoPadding(false);
      assert.equal(toHex(decipher.update(packet.subarray(24, 24 + 64))), toHex(plaintext));
      assert.notEqual(toHex(iv), previousBlock, 'an IV that the last packet gave away');
      previousBlock = toHex(packet.subarray(72, 88));
      ivs.add(toHex(iv));
    }
    assert.equal(ivs.size, 50);
  });

  test('a GCM IV is the sequence number, so it never repeats under a key', () => {
    const random = new SeededRandom(4106);
    const keys = randomKeys({ encryption: 'aes128gcm' }, random);
    const { slot } = randomSlot(keys, 3, 0xfffffffe, random);
    createEspSealer(keys, new RandomPool(length => random.bytes(length))).seal([slot]);
    assert.equal(toHex(slot.bytes.subarray(slot.start + 8, slot.start + 16)), '00000000fffffffe');
  });

  test('with extended numbers a GCM IV has all their bits, so it never repeats either', () => {
    const random = new SeededRandom(4106);
    const keys = { ...randomKeys({ encryption: 'aes128gcm' }, random), extendedSequence: true };
    const { slot } = randomSlot(keys, 3, 0, random);
    createEspSealer(keys, new RandomPool(length => random.bytes(length))).seal([
      { ...slot, sequenceHigh: 3 },
    ]);
    assert.equal(toHex(slot.bytes.subarray(slot.start + 8, slot.start + 16)), '0000000300000000');
  });

  for (const suite of [
    { encryption: 'aes128', hash: 'sha1' },
    { encryption: 'null', hash: 'sha512' },
    { encryption: 'aes256gcm' },
  ] as const)
    test(`${suite.encryption}: the bits of an extended number that are not sent are authenticated`, () => {
      const random = new SeededRandom(4304);
      const keys = { ...randomKeys(suite, random), extendedSequence: true };
      const { slot, plaintext } = randomSlot(keys, 4, 0xffff_fff0, random);
      const pool = new RandomPool(length => random.bytes(length));
      createEspSealer(keys, pool).seal([{ ...slot, sequenceHigh: 7 }]);
      const packet = slot.bytes.subarray(slot.start, slot.end);
      const opener = createEspOpener(keys);
      const [wrong, right] = opener.open([packet, packet], [8, 7]);
      assert.equal(wrong, undefined);
      assert.equal(right && toHex(right), toHex(plaintext));
      assert.deepEqual(createEspOpener({ ...keys, extendedSequence: false }).open([packet]), [undefined]);
      if (keys.hash === undefined) return;
      const { icvBytes } = espLayout(keys);
      const independent = createHmac(keys.hash, keys.integrityKey)
        .update(packet.subarray(0, -icvBytes))
        .update(Uint8Array.of(0, 0, 0, 7));
      assert.equal(toHex(packet.subarray(-icvBytes)), toHex(independent.digest().subarray(0, icvBytes)));
    });

  test('tampering with one packet of a vector spoils only that one', () => {
    const random = new SeededRandom(17);
    for (const suite of [
      { encryption: 'aes128', hash: 'sha1' },
      { encryption: 'null', hash: 'sha256' },
      { encryption: 'aes128gcm' },
    ] as const) {
      const keys = randomKeys(suite, random);
      const sealer = createEspSealer(keys, new RandomPool(length => random.bytes(length)));
      const vector = [1, 2, 3].map(sequence => randomSlot(keys, 5, sequence, random));
      sealer.seal(vector.map(({ slot }) => slot));
      const packets = vector.map(({ slot }) => Uint8Array.from(slot.bytes.subarray(slot.start, slot.end)));
      const spoilt = packets[1];
      assert.ok(spoilt);
      spoilt[20] = (spoilt[20] ?? 0) ^ 0x80;
      const results = createEspOpener(keys).open(packets);
      assert.deepEqual(
        results.map(result => result !== undefined),
        [true, false, true],
      );
    }
  });

  test('the other SHA-256 truncation is recognised', () => {
    const random = new SeededRandom(4868);
    const theirs: EspKeys = { ...randomKeys({ encryption: 'aes128', hash: 'sha256' }, random), icvBytes: 12 };
    const { slot } = randomSlot(theirs, 6, 1, random);
    createEspSealer(theirs, new RandomPool(length => random.bytes(length))).seal([slot]);
    const packet = slot.bytes.subarray(slot.start, slot.end);
    const { icvBytes: _cut, ...ours } = theirs;
    const opener = createEspOpener(ours);
    assert.deepEqual(opener.open([packet]), [undefined]);
    assert.equal(opener.otherIcvBytes(packet), 12);
    packet[30] = (packet[30] ?? 0) ^ 1;
    assert.equal(opener.otherIcvBytes(packet), undefined);
  });
});

test('AES-GCM with a shorter tag is recognised', () => {
  const random = new SeededRandom(4106);
  const keys = randomKeys({ encryption: 'aes256gcm' }, random);
  const { slot } = randomSlot(keys, 6, 1, random);
  createEspSealer(keys, new RandomPool(length => random.bytes(length))).seal([slot]);
  const whole = slot.bytes.slice(slot.start, slot.end);
  for (const tagBytes of [8, 12]) {
    const packet = whole.subarray(0, whole.length - 16 + tagBytes);
    const opener = createEspOpener(keys);
    assert.deepEqual(opener.open([packet]), [undefined]);
    assert.equal(opener.otherIcvBytes(packet), tagBytes);
    assert.equal(opener.otherIcvBytes(packet.map((byte, i) => (i === 20 ? byte ^ 1 : byte))), undefined);
  }
});

describe('ESP keys', () => {
  test('faults are named', () => {
    const weak = fromHex('0101010101010101 23456789abcdef01 456789abcdef0123');
    const faults: [EspKeys, RegExp][] = [
      [{ encryption: 'aes128', encryptionKey: new Uint8Array(15), integrityKey: none }, /16 bytes/],
      [{ encryption: 'aes128gcm', encryptionKey: new Uint8Array(16), integrityKey: none }, /20 bytes/],
      [
        { encryption: 'null', hash: 'sha1', encryptionKey: none, integrityKey: new Uint8Array(16) },
        /20 bytes/,
      ],
      [{ encryption: '3des', encryptionKey: weak, integrityKey: none }, /weak/],
      [
        {
          encryption: 'aes128gcm',
          hash: 'sha1',
          encryptionKey: new Uint8Array(20),
          integrityKey: new Uint8Array(20),
        },
        /by itself/,
      ],
    ];
    for (const [keys, pattern] of faults) assert.match(espKeyFault(keys) ?? 'none', pattern);
  });
});
