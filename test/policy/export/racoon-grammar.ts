/** racoon.conf(5), psk.txt and the SPD part of setkey(8), as strictly as their manual pages: Debian has no racoon. */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';

const address = String.raw`(?:\d{1,3}(?:\.\d{1,3}){3}|[\da-f:]*:[\da-f:.]*)`;
const prefix = String.raw`${address}/\d{1,3}\[(?:any|\d{1,5})\]`;
const protocol = String.raw`(?:any|\d{1,3})`;
const cipher = '(?:des|3des|null_enc|aes(?: (?:128|192|256))?)';
const ikeCipher = '(?:des|3des|aes (?:128|192|256))';
const hash = '(?:md5|sha1|sha256|sha384|sha512)';
const list = (item: string) => `${item}(?:, ${item})*`;

const remoteStatements = [
  'exchange_mode main',
  'proposal_check (?:obey|strict|claim|exact)',
  'passive on',
  'generate_policy on',
  `my_identifier address ${address}`,
  'certificate_type x509 "[^"]+" "[^"]+"',
  String.raw`lifetime time \d+ sec`,
];
const proposalStatements = [
  `encryption_algorithm ${ikeCipher}`,
  `hash_algorithm ${hash}`,
  'authentication_method (?:pre_shared_key|rsasig)',
  'dh_group (?:1|2|5|14|15|16|17|18)',
];
const sainfoStatements = [
  'pfs_group (?:1|2|5|14|15|16|17|18)',
  String.raw`lifetime time \d+ sec`,
  `encryption_algorithm ${list(cipher)}`,
  `authentication_algorithm ${list(`(?:hmac_${hash}|non_auth)`)}`,
  'compression_algorithm deflate',
];

interface Block {
  readonly opening: string;
  readonly statements: readonly string[];
  readonly required: readonly string[];
  readonly inner?: Block;
}

const proposal: Block = {
  opening: 'proposal',
  statements: proposalStatements,
  required: ['encryption_algorithm', 'hash_algorithm', 'authentication_method', 'dh_group'],
};
const blocks: readonly Block[] = [
  {
    opening: `remote (?:anonymous|${address})`,
    statements: remoteStatements,
    required: ['exchange_mode'],
    inner: proposal,
  },
  {
    opening: `sainfo address ${prefix} ${protocol} address ${prefix} ${protocol}`,
    statements: sainfoStatements,
    required: ['encryption_algorithm', 'authentication_algorithm', 'compression_algorithm'],
  },
];

export function checkRacoonConf(text: string): void {
  const lines = linesOf(text);
  while (lines.length > 0) {
    const line = lines.shift() ?? '';
    if (/^path (?:pre_shared_key|certificate) "[^"]+";$/.test(line)) continue;
    const block = blocks.find(({ opening }) => new RegExp(`^${opening} \\{$`).test(line));
    assert.ok(block, `not racoon.conf: ${line}`);
    checkBlock(block, lines);
  }
}

function checkBlock(block: Block, lines: string[]): void {
  const seen: string[] = [];
  let proposals = 0;
  for (;;) {
    const line = lines.shift();
    assert.ok(line !== undefined, 'a block is not closed');
    if (line === '}') break;
    if (block.inner !== undefined && line === `${block.inner.opening} {`) {
      proposals++;
      checkBlock(block.inner, lines);
      continue;
    }
    assert.ok(
      block.statements.some(statement => new RegExp(`^${statement};$`).test(line)),
      `not in ${block.opening}: ${line}`,
    );
    const [word = ''] = line.split(' ');
    assert.ok(!seen.includes(word), `twice: ${line}`);
    seen.push(word);
  }
  for (const word of block.required) assert.ok(seen.includes(word), `${word} is missing in ${block.opening}`);
  if (block.inner !== undefined) assert.ok(proposals > 0, 'a remote without a proposal');
}

export function checkPskFile(text: string): void {
  for (const line of linesOf(text)) {
    const [peer = '', key, ...others] = line.split('\t');
    assert.ok(peer === '*' || isIP(peer) > 0, line);
    assert.ok(key !== undefined && key !== '' && others.length === 0, line);
    assert.match(key, /^(?:0x(?:[\da-f]{2})+|(?!0x)[\x21-\x7e]+(?: [\x21-\x7e]+)*)$/);
  }
}

export function checkSetkey(text: string): void {
  const [flush, spdflush, ...lines] = linesOf(text);
  assert.deepEqual([flush, spdflush], ['flush;', 'spdflush;']);
  const mode = `(?:transport/|tunnel/${address}-${address})`;
  const rule = new RegExp(
    `^spdadd ${prefix} ${prefix} ${protocol} -P (?:in|out) (?:none|discard|ipsec(?: (?:esp|ah)/${mode}/require)+);$`,
  );
  for (const line of lines) {
    assert.match(line, rule);
    const families = [...line.matchAll(new RegExp(`(${address})/\\d+\\[`, 'g'))].map(([, each = '']) =>
      isIP(each),
    );
    assert.ok(families.length === 2 && families[0] === families[1] && families[0] !== 0, line);
    // `setkey` calls it a family mismatch.
    for (const [, near = '', far = ''] of line.matchAll(
      new RegExp(`/tunnel/(${address})-(${address})/`, 'g'),
    ))
      assert.equal(isIP(near), isIP(far), line);
  }
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'));
}
