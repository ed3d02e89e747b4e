import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printAuditEvent } from '../../src/agent/audit-text.js';
import type { Spi } from '../../src/driver/api.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { hostRange, subnetRange } from '../../src/wire/ip/selector.js';

const local = ipAddress('192.0.2.10');
const peer = ipAddress('192.0.2.20');
const filter = {
  source: hostRange(local),
  destination: subnetRange(ipAddress('10.0.0.0'), 8),
  protocol: 6,
  sourcePort: 0,
  destinationPort: 80,
};

test('541 for a quick mode has the fields of the Windows event in its order', () => {
  const text = printAuditEvent({
    id: 541,
    atMs: 0,
    local,
    peer,
    mode: 'quick',
    peerIdentity: 'Preshared key ID. Peer IP Address: 192.0.2.20',
    filter,
    parameters: {
      esp: '3DES CBC',
      hmac: 'SHA',
      ah: 'None',
      encapsulation: 'Transport Mode',
      inboundSpi: 1234567890 as Spi,
      outboundSpi: 987654321 as Spi,
      lifetimeSeconds: 3600,
      lifetimeKilobytes: 100000,
    },
  });
  assert.equal(
    text,
    `541 Success IKE security association established.
  Mode: Data Protection Mode (Quick Mode)
  Peer Identity: Preshared key ID. Peer IP Address: 192.0.2.20
  Filter: Source IP Address 192.0.2.10 Mask 255.255.255.255 Destination IP Address 10.0.0.0 Mask 255.0.0.0 Protocol 6 Source Port 0 Destination Port 80 IKE Local Addr 192.0.2.10 IKE Peer Addr 192.0.2.20
  Parameters: ESP Algorithm 3DES CBC, HMAC Algorithm SHA, AH Algorithm None, Encapsulation Transport Mode, InboundSpi 1234567890, OutBoundSpi 987654321, Lifetime (sec) 3600, Lifetime (kb) 100000`,
  );
});

test('547 says who failed and why', () => {
  const text = printAuditEvent({
    id: 547,
    atMs: 0,
    local,
    peer,
    mode: 'main',
    filter,
    failurePoint: 'Peer',
    failureReason: 'no response from peer',
  });
  assert.match(text, /^547 Failure .*\n {2}Mode: Key Exchange Mode \(Main Mode\)\n/);
  assert.match(text, /Failure Point: Peer\n {2}Failure Reason: no response from peer$/);
});
