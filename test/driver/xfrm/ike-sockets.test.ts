/** The IKE ports of the kernel's engine, on devices under policies that refuse all that is not protected. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { undeliveredIke } from '../../../src/driver/xfrm/ike-errors.js';
import { ipAddress } from '../../../src/wire/ip/address.js';
import { packetAddress } from '../../../src/wire/ip/ip.js';
import { encodeIpv4, ipProtocol } from '../../../src/wire/ip/packet.js';
import { passNeighbourDiscovery } from '../../peers/kernel/xfrm.js';
import { driverSuiteSkip, one, one6, other, other6 } from '../../support/driver-suite.js';
import { createPair, type HostPair } from '../../support/namespaces.js';

const router = ipAddress('10.9.9.9');

/** An ICMP error from a router to us about a UDP datagram. */
function icmpError({ type = 3, code = 3, source = one, sourcePort = 500 }): Uint8Array {
  const header = {
    ...{ tos: 0, identification: 0, dontFragment: false, moreFragments: false, fragmentOffset: 0, ttl: 9 },
  };
  const v4 = (address: string) => Number(packetAddress(ipAddress(address)));
  const udp = Uint8Array.of(sourcePort >> 8, sourcePort & 0xff, 0x01, 0xf4, 0, 8, 0, 0);
  const quoted = encodeIpv4(
    { ...header, protocol: ipProtocol.udp, source: v4(source), destination: v4(other) },
    udp,
  );
  return encodeIpv4(
    { ...header, protocol: ipProtocol.icmp, source: v4(router), destination: v4(one) },
    Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0, ...quoted),
  );
}

test('of what ICMP errors quote only what left an IKE port of ours counts', () => {
  const told = { peer: { address: other, port: 500 }, reporter: router };
  assert.deepEqual(undeliveredIke(icmpError({})), { ...told, reason: 'no-listener' });
  assert.deepEqual(undeliveredIke(icmpError({ sourcePort: 4500, code: 1 })), { ...told, reason: 'no-host' });
  for (const other of [{ sourcePort: 53 }, { source: router }, { type: 8 }, { code: 4 }])
    assert.equal(undeliveredIke(icmpError(other)), undefined, JSON.stringify(other));
  const whole = icmpError({});
  for (let length = 0; length < whole.length; length++)
    assert.equal(undeliveredIke(whole.subarray(0, length)), undefined, `cut to ${length} bytes`);
});

describe('the IKE ports where a policy wants all to be secured', { skip: driverSuiteSkip() }, () => {
  let hosts: HostPair;
  before(async () => {
    hosts = await createPair({
      prefix: 'xik',
      a: [`${one}/24`, `${one6}/64`],
      b: [`${other}/24`, `${other6}/64`],
    });
    passNeighbourDiscovery(hosts.a);
  });
  after(() => hosts?.destroy());

  for (const [local, peer] of [
    [one, other],
    [one6, other6],
  ] as const)
    test(`a closed port of ${peer} is told of, once`, async () => {
      for (const [source, destination, direction] of [
        [local, peer, 'out'],
        [peer, local, 'in'],
      ] as const)
        hosts.a.run(
          ...(['ip', 'xfrm', 'policy', 'add', 'src', source, 'dst', destination, 'dir', direction] as const),
          ...['priority', '9', 'tmpl', 'proto', 'esp', 'mode', 'transport'],
        );
      const script = `
        import { IkeSockets } from './dist/src/driver/xfrm/ike-sockets.js';
        const sockets = new IkeSockets(event => console.log(JSON.stringify(event)));
        sockets.send({
          local: { address: '${local}', port: 500 },
          peer: { address: '${peer}', port: 500 },
          bytes: new Uint8Array(28),
        });
        process.stdin.resume().on('end', () => sockets.close());`;
      const program = hosts.a.spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      assert.ok(program.stdin !== null && program.stdout !== null);
      let told = '';
      program.stdout.setEncoding('utf8').on('data', (text: string) => {
        told += text;
        program.stdin?.end();
      });
      const impatient = setTimeout(() => program.stdin?.end(), 10_000);
      await new Promise(resolve => program.once('close', resolve));
      clearTimeout(impatient);
      assert.deepEqual(told.trim().split('\n'), [
        JSON.stringify({
          kind: 'undelivered',
          peer: { address: peer, port: 500 },
          reporter: peer,
          reason: 'no-listener',
        }),
      ]);
    });
});
