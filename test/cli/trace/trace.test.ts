/** What `sa trace` selects, prints and follows, on traces made by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DropTrace, TracedPair } from '../../../src/agent/drop-trace.js';
import { DropFollower } from '../../../src/cli/trace/follower.js';
import { parseSelection, select } from '../../../src/cli/trace/selection.js';
import { recordText, traceText } from '../../../src/cli/trace/text.js';
import type { DropReason, DropRecord, FilterId, PairId } from '../../../src/driver/api.js';
import { noDrops } from '../../../src/driver/no-drops.js';
import { dropReasonNames } from '../../../src/monitor/drop-reasons.js';
import { IpseckitError } from '../../../src/report/errors.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { hostRange } from '../../../src/wire/ip/selector.js';

const local = ipAddress('192.0.2.2');
const peer = ipAddress('192.0.2.1');
const pairId = 'aaaabbbbccccdddd' as PairId;

const record = (number: number, reason: DropReason, more: Partial<DropRecord> = {}): DropRecord => ({
  ...{ number, packets: 1, reason, atMs: 0, direction: 'inbound' },
  packet: { source: peer, destination: local, protocol: 50, spi: 0x0badcafe, sequence: 17, bytes: 120 },
  ...more,
});

const selector = {
  source: hostRange(local),
  destination: hostRange(peer),
  ...{ protocol: 0, sourcePort: 0, destinationPort: 0 },
};

const pair: TracedPair = {
  ...{ pairId, local, peer, mode: 'transport', selector, inboundSpis: [0x0badcafe], outboundSpis: [0x1234] },
  ...{ packetsSent: 5, packetsReceived: 7, drops: { replay: 2 } },
  lastNote: 'the peer truncates HMAC-SHA-256 to 96 bits, this side to 128',
};

const filter = (packets: number): DropTrace['filters'][number] => ({
  ...{ reason: 'clear-but-secured', filterId: 'f' as FilterId, name: 'web', policyName: 'Servers' },
  ...{ direction: 'inbound', selector, packets },
});

const trace = (recent: readonly DropRecord[], more: Partial<DropTrace> = {}): DropTrace => ({
  ...{ driver: 'userspace', drops: noDrops(), lastByReason: {}, recent },
  ...{ pairs: [pair], filters: [] },
  ...more,
});

describe('a selection', () => {
  const refused = (sa?: string, address?: string) => {
    try {
      parseSelection(sa, address);
    } catch (error) {
      assert.ok(error instanceof IpseckitError);
      return `${error.code} ${error.message}`;
    }
    return assert.fail('was accepted');
  };

  test('is an SPI, a pair or a peer; anything else is named', () => {
    assert.deepEqual(parseSelection('0x0BADCAFE', undefined), { spi: 0x0badcafe });
    assert.deepEqual(parseSelection('4660', '192.0.2.1'), { spi: 4660, peer });
    assert.deepEqual(parseSelection('AAAABBBBCCCCDDDD', undefined), { pairId });
    for (const wrong of ['', 'x', '0', '255', '0x', '0x123456789', '99999999999', '-1', '1e3'])
      assert.match(refused(wrong), /^USAGE .* is neither an SPI nor the id of a pair/);
    assert.match(refused(undefined, 'gateway'), /^USAGE --peer: 'gateway' is no IP address/);
  });

  test('keeps the pairs and packets that are its own', () => {
    const ofPair = record(1, 'replay', { pairId });
    const ofOldSa = record(2, 'bad-spi');
    const elsewhere = record(3, 'bad-spi', {
      packet: {
        source: ipAddress('10.0.0.1'),
        destination: local,
        protocol: 50,
        spi: 0x999,
        sequence: 1,
        bytes: 9,
      },
    });
    const { packet: _, ...unread } = record(4, 'malformed');
    const all = trace([ofPair, ofOldSa, elsewhere, unread]);
    const numbers = (sa?: string, address?: string) => {
      const part = select(all, parseSelection(sa, address));
      return [part.recent.map(({ number }) => number), part.pairs.length];
    };
    assert.deepEqual(numbers(), [[1, 2, 3, 4], 1]);
    assert.deepEqual(numbers('0x0badcafe'), [[1, 2], 1]);
    assert.deepEqual(numbers('0x1234'), [[1], 1], 'an outbound SPI finds its pair');
    assert.deepEqual(numbers('0x999'), [[3], 0], 'an SA that is gone');
    assert.deepEqual(numbers(pairId), [[1], 1]);
    assert.deepEqual(numbers(undefined, '10.0.0.1'), [[3], 0]);
  });
});

describe('the text', () => {
  test('has each reason with its meaning, what to do, the filters and the last packet', () => {
    const drops = { ...noDrops(), replay: 2, 'clear-but-secured': 3 };
    const last = record(5, 'replay', { pairId });
    const text = traceText(
      trace([last], { drops, lastByReason: { replay: last }, filters: [filter(3)] }),
      true,
    );
    assert.equal(text[0], 'The userspace engine has dropped 5 packets.');
    const at = (line: string) => text.indexOf(line);
    assert.ok(at('clear-but-secured: 3 packets') > 0);
    assert.match(
      text[at('clear-but-secured: 3 packets') + 3] ?? '',
      /^ {4}3 packets: filter 'web' of 'Servers', inbound/,
    );
    assert.ok(at('replay: 2 packets') > 0);
    assert.equal(
      text[at('replay: 2 packets') + 3],
      '    Last: 1970-01-01T00:00:00.000Z inbound replay: 192.0.2.1 -> 192.0.2.2 ESP 0x0badcafe sequence 17, 120 bytes',
    );
    assert.ok(at('    Note: the peer truncates HMAC-SHA-256 to 96 bits, this side to 128') > 0);
    assert.ok(at('    Dropped: replay 2') > 0);
  });

  test('says so when nothing was dropped, and when the engine only counts', () => {
    const quiet = traceText(trace([], { pairs: [] }), true);
    assert.deepEqual(quiet, ['The userspace engine has dropped 0 packets.']);
    const counting = traceText(
      trace([], { driver: 'xfrm', toldReasons: ['bad-spi', 'not-authenticated'], pairs: [] }),
      true,
    );
    assert.match(counting.join('\n'), /counts them\. Of bad-spi and not-authenticated it shows some/);
  });

  test('a packet in UDP, one with something inside, one that cannot be read, several at once', () => {
    const inUdp = {
      source: peer,
      destination: local,
      protocol: 17,
      sourcePort: 61000,
      destinationPort: 4500,
    };
    assert.match(
      recordText(record(1, 'bad-spi', { packet: { ...inUdp, spi: 0x300, sequence: 2, bytes: 90 } })),
      /192\.0\.2\.1:61000 -> 192\.0\.2\.2:4500 UDP ESP 0x00000300 sequence 2, 90 bytes$/,
    );
    const inner = { source: ipAddress('2001:db8::1'), destination: ipAddress('2001:db8::2'), bytes: 60 };
    assert.match(
      recordText(
        record(1, 'selector-mismatch', {
          inner: { ...inner, protocol: 6, sourcePort: 1025, destinationPort: 80 },
        }),
      ),
      /120 bytes holding \[2001:db8::1\]:1025 -> \[2001:db8::2\]:80 TCP, 60 bytes$/,
    );
    const { packet: _, ...unread } = record(1, 'malformed', { note: 'cut (truncated at offset 3)' });
    assert.match(recordText(unread), /malformed: a packet whose headers cannot be read \(cut \(truncated/);
    assert.match(recordText({ ...unread, packets: 4 }), /malformed: 4 packets \(cut/);
  });

  test('every reason is explained once', () => {
    assert.deepEqual([...dropReasonNames].sort(), Object.keys(noDrops()).sort());
  });
});

describe('following', () => {
  const news = (start: DropTrace, next: DropTrace, sa?: string) => {
    const { records, ...rest } = new DropFollower(parseSelection(sa, undefined), start).next(next);
    return { numbers: records.map(({ number }) => number), ...rest };
  };
  const quiet = { heldBack: {}, forgotten: 0, filters: [] };

  test('tells what is new, once', () => {
    const [one, two, three] = [record(1, 'replay'), record(2, 'replay'), record(3, 'bad-spi')] as const;
    const follower = new DropFollower({}, trace([one]));
    assert.deepEqual(follower.next(trace([one])).records, []);
    assert.deepEqual(follower.next(trace([one, two, three])).records, [two, three]);
    assert.deepEqual(follower.next(trace([one, two, three])).records, []);
  });

  test('holds back what nobody can read, and counts it by reason', () => {
    const many = Array.from({ length: 50 }, (_, i) => record(i + 1, i < 30 ? 'replay' : 'bad-spi'));
    const { numbers, ...rest } = news(trace([]), trace(many));
    assert.deepEqual(
      numbers,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assert.deepEqual(rest, { ...quiet, heldBack: { replay: 10, 'bad-spi': 20 } });
  });

  test('says how many went by unseen', () => {
    const { numbers, ...rest } = news(
      trace([record(10, 'replay')]),
      trace([record(100, 'replay', { packets: 3 }), record(101, 'replay')]),
    );
    assert.deepEqual(numbers, [100, 101]);
    assert.deepEqual(rest, { ...quiet, forgotten: 87 });
  });

  test('shows what filters dropped meanwhile, and nothing of others when narrowed', () => {
    const before = trace([], { filters: [filter(3)] });
    const after = trace([], { filters: [filter(10)] });
    assert.deepEqual(news(before, after).filters, [filter(7)]);
    assert.deepEqual(news(before, after, '0x999').filters, []);
    assert.deepEqual(news(trace([]), trace([record(1, 'replay'), record(2, 'replay')]), '0x999').numbers, []);
  });

  test('goes on when another agent has taken over', () => {
    assert.deepEqual(news(trace([record(900, 'replay')]), trace([record(1, 'bad-spi')])).numbers, [1]);
  });
});
