/** Scapy as the other side of ESP and AH, packet by packet (`scapy-ipsec.py`). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type EncryptionId, encryption, encryptionIds, hashIds } from '../../src/crypto/algorithms.js';
import type { SaHalf } from '../../src/driver/api.js';
import { fromHex, toHex } from '../../src/wire/bytes.js';
import type { IpAddress } from '../../src/wire/ip/address.js';
import type { Suite } from '../support/engine-pair.js';

const python = '/usr/bin/python3';

/** The reason to skip; where `CI=true` nothing may be skipped. */
export function lacksScapy(): string | false {
  if (spawnSync(python, ['-c', 'import scapy.layers.ipsec']).status === 0) return false;
  const reason = 'needs python3-scapy (test/lab/install brings it)';
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

const cipherNames: Readonly<Record<EncryptionId, string>> = {
  des: 'DES',
  '3des': '3DES',
  aes128: 'AES-CBC',
  aes192: 'AES-CBC',
  aes256: 'AES-CBC',
  aes128gcm: 'AES-GCM',
  aes192gcm: 'AES-GCM',
  aes256gcm: 'AES-GCM',
  null: 'NULL',
};
const hashNames = {
  md5: 'HMAC-MD5-96',
  sha1: 'HMAC-SHA1-96',
  sha256: 'SHA2-256-128',
  sha384: 'SHA2-384-192',
  sha512: 'SHA2-512-256',
} as const;

/** One packet to protect, or to open. */
export interface Question {
  readonly op: 'protect' | 'open';
  readonly packet: Uint8Array;
  readonly halves: readonly SaHalf[];
  /** Endpoints of the tunnel; absent in transport mode. */
  readonly outer?: readonly [IpAddress, IpAddress];
  /** In UDP port 4500. */
  readonly udp?: boolean;
  readonly sequence?: number;
}

/** Asks scapy everything at once: starting it takes a second. */
export function askScapy(questions: readonly Question[]): Uint8Array[] {
  const input = questions
    .map(({ op, packet, halves, outer, udp, sequence }) =>
      JSON.stringify({
        op,
        packet: toHex(packet),
        outer,
        ...(udp ? { udp: [4500, 4500] } : {}),
        sequence,
        sas: halves.map(half => ({
          protocol: half.protocol,
          spi: half.spi,
          encryption: half.encryption && cipherNames[half.encryption],
          hash: half.hash && hashNames[half.hash],
          encryptionKey: toHex(half.encryptionKey),
          integrityKey: toHex(half.integrityKey),
        })),
      }),
    )
    .join('\n');
  const run = spawnSync(python, ['test/peers/scapy-ipsec.py'], {
    input,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  assert.equal(run.status, 0, run.stderr);
  const answers = run.stdout.trim().split('\n');
  assert.equal(answers.length, questions.length);
  return answers.map((line, i) => {
    const answer: unknown = JSON.parse(line);
    assert.ok(answer !== null && typeof answer === 'object');
    assert.ok('packet' in answer && typeof answer.packet === 'string', `question ${i}: ${line}`);
    return fromHex(answer.packet);
  });
}

export const suites: readonly Suite[] = [
  ...encryptionIds
    .filter(id => encryption(id).tagBytes === undefined)
    .flatMap(id => hashIds.map(hash => ({ esp: { encryption: id, hash } }))),
  ...encryptionIds
    .filter(id => encryption(id).tagBytes !== undefined || id === '3des' || id === 'aes128')
    .map(id => ({ esp: { encryption: id } })),
  ...hashIds.map(ah => ({ ah })),
  { ah: 'sha1', esp: { encryption: '3des' } },
  { ah: 'sha256', esp: { encryption: 'aes128', hash: 'sha256' } },
  { ah: 'md5', esp: { encryption: 'aes256gcm' } },
];
