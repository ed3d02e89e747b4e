/** What the lab calls a complaint of tshark: a fault of a packet, not what two TCPs do to each other. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { needs } from '../lab/needs.js';
import { decode } from '../lab/tshark.js';
import { pcapFile } from '../support/captures.js';
import { tcpPacket, udpPacket } from '../support/packets.js';

const rawIp = 101;
const tcpFlags = { at: 20 + 13, reset: 0x04 };
const ends = { source: '10.66.0.1', destination: '10.66.0.2' };

describe('the complaints of tshark', { skip: needs('tshark') }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ipseckit-tshark-judge-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  const complaints = async (packet: Uint8Array) => {
    const file = join(folder, 'packet.pcap');
    writeFileSync(file, pcapFile([packet], rawIp));
    return (await decode(file)).flatMap(decoded => decoded.complaints);
  };

  test('a reset of TCP is none', async () => {
    const packet = tcpPacket(ends);
    packet[tcpFlags.at] = tcpFlags.reset;
    assert.deepEqual(await complaints(packet), []);
  });

  test('a wrong header checksum is one', async () => {
    const packet = tcpPacket({ ...ends, header: { ttl: 9 } });
    packet[8] = 8;
    assert.match((await complaints(packet)).join(), /[Cc]hecksum/);
  });

  test('a broken ISAKMP message is one', async () => {
    const packet = udpPacket({
      ...ends,
      destinationPort: 500,
      data: Uint8Array.from({ length: 30 }, () => 1),
    });
    assert.ok((await complaints(packet)).includes('malformed'));
  });
});
