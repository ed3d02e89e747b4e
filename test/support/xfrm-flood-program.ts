/** A program that makes the kernel tell more than a listener has room for, and prints how often that was told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { XfrmSocket } from '../../src/driver/xfrm/netlink.js';
import { ipAddress } from '../../src/wire/ip/address.js';
import { xfrmRequests } from '../../src/wire/netlink/xfrm.js';
import { encodePolicyInfo, type XfrmPolicy } from '../../src/wire/netlink/xfrm-policy.js';

const policy: XfrmPolicy = {
  selector: {
    source: { address: ipAddress('192.0.2.1'), length: 32 },
    destination: { address: ipAddress('192.0.2.2'), length: 32 },
    protocol: 0,
    user: 1,
  },
  direction: 'out',
  action: 'allow',
  priority: 1,
  templates: [],
};
/** `XFRM_MSG_POLEXPIRE`, soft: the kernel tells all who listen. */
const expire = {
  type: 0x1b,
  flags: 5,
  payload: Buffer.concat([encodePolicyInfo(policy), new Uint8Array(8)]),
};

const listener = new XfrmSocket();
let told = 0;
let lost = 0;
listener.listen(
  () => told++,
  () => lost++,
  error => {
    throw error;
  },
);
const socket = new XfrmSocket();
socket.demand(xfrmRequests.putPolicy(policy), 'a policy');
// Nothing is read meanwhile: all of this is one turn of the event loop.
const flood = Array.from({ length: 640 }, () => expire);
for (let i = 0; i < 100; i++)
  for (const { errno } of socket.ask(flood)) if (errno !== 0) throw new Error(`errno ${errno}`);
while (lost === 0) await sleep(10);
// After that it tells as before.
const before = told;
await sleep(100);
socket.ask([expire]);
while (told === before) await sleep(10);
console.log(JSON.stringify({ lost }));
listener.close();
socket.close();
