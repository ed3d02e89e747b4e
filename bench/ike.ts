/**
 * Full negotiations a second (main mode, then quick mode), for each role: two engines in one process hand each
 * other their datagrams, and only the time one of them works is counted.
 */
import { getDiffieHellman, randomBytes } from 'node:crypto';
import { Secret } from '../src/crypto/secret.js';
import type { IkeDatagram } from '../src/driver/api.js';
import type { IkeEffect, MainModePolicy, QuickModePolicy } from '../src/ike/api.js';
import { IkeEngine } from '../src/ike/engine.js';
import { ipAddress } from '../src/wire/ip/address.js';
import { hostRange } from '../src/wire/ip/selector.js';
import type { Figure } from './figure.js';

const mainMode: MainModePolicy = {
  methods: [{ encryption: 'aes128', hash: 'sha1', group: 14 }],
  authentication: [{ kind: 'preshared', key: new Secret('benchmark') }],
  lifetimeSeconds: 28_800,
  quickModeLimit: 0,
  natTraversal: 'auto',
};

const responderAddress = ipAddress('192.0.2.1');
const methods = [{ esp: { encryption: 'aes128', hash: 'sha1' } }] as const;

function newEngine(): IkeEngine {
  return new IkeEngine({
    policy: {
      mainModes: () => [mainMode],
      mainModeOf: () => mainMode,
      quickMode: ({ mode, selector }) => ({ methods, mode, selector }),
    },
    random: length => randomBytes(length),
    lastInboundAtMs: () => undefined,
  });
}

/** Negotiates with `negotiations` different peers, group 14, and returns one figure for each role. */
export function measureIke(negotiations = 1_000): Figure[] {
  // The first ones warm up the compiler and the group.
  run(Math.ceil(negotiations / 10));
  const spentMs = run(negotiations);
  const peer = { name: 'bare OpenSSL agreements (key pair and secret)', value: bareAgreements(negotiations) };
  return (['initiator', 'responder'] as const).map(role => ({
    figure: `ike-${role}-modp2048`,
    unit: 'main and quick modes/s',
    value: (negotiations / spentMs[role]) * 1_000,
    peer,
  }));
}

/** Diffie-Hellman agreements a second that OpenSSL does for one side of group 14: the floor under every main mode. */
function bareAgreements(count: number): number {
  const own = getDiffieHellman('modp14');
  const theirs = getDiffieHellman('modp14').generateKeys();
  const startMs = performance.now();
  for (let n = 0; n < count; n++) {
    own.generateKeys();
    own.computeSecret(theirs);
  }
  return (count / (performance.now() - startMs)) * 1_000;
}

/** Time that passes for the engines from one negotiation to the next. */
const negotiationMs = 50;

function run(negotiations: number): { initiator: number; responder: number } {
  const responder = newEngine();
  const initiator = newEngine();
  const spentMs = { initiator: 0, responder: 0 };
  const timed = (role: 'initiator' | 'responder', work: () => IkeEffect[]) => {
    const startMs = performance.now();
    const effects = work();
    spentMs[role] += performance.now() - startMs;
    return effects;
  };
  const swap = ({ local, peer, bytes }: IkeDatagram): IkeDatagram => ({ local: peer, peer: local, bytes });
  let established = 0;
  const countEstablished = (effects: readonly IkeEffect[]) => {
    established += effects.filter(({ kind }) => kind === 'activateOutbound').length;
  };
  for (let n = 0; n < negotiations; n++) {
    const nowMs = n * negotiationMs;
    const local = ipAddress(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    const quickMode: QuickModePolicy = {
      methods,
      mode: 'transport',
      selector: {
        source: hostRange(local),
        destination: hostRange(responderAddress),
        protocol: 0,
        sourcePort: 0,
        destinationPort: 0,
      },
    };
    const request = { id: String(n), local, peer: responderAddress, quickMode };
    let effects = timed('initiator', () => initiator.acquire(request, nowMs));
    for (let role: 'initiator' | 'responder' = 'initiator'; effects.length > 0; ) {
      countEstablished(effects);
      const datagrams = effects.flatMap(effect => (effect.kind === 'send' ? [swap(effect.datagram)] : []));
      role = role === 'initiator' ? 'responder' : 'initiator';
      const engine = role === 'initiator' ? initiator : responder;
      effects = datagrams.flatMap(datagram => timed(role, () => engine.receive(datagram, nowMs)));
    }
    // The initiator gives the responder a moment before it sends.
    countEstablished(timed('initiator', () => initiator.tick(nowMs + negotiationMs)));
  }
  if (established !== 2 * negotiations) throw new Error(`only ${established} pairs of ${2 * negotiations}`);
  return spentMs;
}
