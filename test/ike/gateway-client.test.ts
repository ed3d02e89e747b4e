/** As client of a gateway: XAUTH and mode-config, through loss, wrong answers, silence, and questions to the user. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '../../src/crypto/secret.js';
import type { IkeDatagram, SaPair } from '../../src/driver/api.js';
import type {
  IkeEffect,
  MainModePolicy,
  NegotiationFailure,
  NegotiationStep,
  UserPrompt,
} from '../../src/ike/api.js';
import { IkeEngine } from '../../src/ike/engine.js';
import { addressFamily, type IpAddress, ipAddress } from '../../src/wire/ip/address.js';
import { hostRange } from '../../src/wire/ip/selector.js';
import { tlv } from '../../src/wire/isakmp/attributes.js';
import { transactionAttributes as types } from '../../src/wire/isakmp/numbers.js';
import type { Configuration } from '../../src/wire/isakmp/transaction.js';
import { clientPolicy, Gateway, type GatewayOptions, usual } from './gateway.js';
import { esp3des, generator, keysMatch, type NetworkOptions } from './harness.js';

const local = ipAddress('192.0.2.1');
const peer = ipAddress('192.0.2.2');

const configuration: Configuration = {
  address: ipAddress('10.3.0.7'),
  dnsServers: [ipAddress('10.2.0.53')],
  winsServers: [],
  networks: [{ address: ipAddress('10.2.0.0'), prefixLength: 16 }],
  banner: 'Be nice',
};

const { address: _, ...noAddress } = configuration;

/** One client, one gateway, and the network between them. */
class Scene {
  nowMs = 1_000_000;
  readonly random: () => number;
  readonly client: IkeEngine;
  readonly gateway: Gateway;
  readonly connected: Configuration[] = [];
  readonly reconfigured: Configuration[] = [];
  readonly acquired: string[] = [];
  readonly failures: NegotiationFailure[] = [];
  readonly prompts: UserPrompt[] = [];
  readonly steps: NegotiationStep[] = [];
  readonly pairs: { readonly ours: SaPair[]; readonly theirs: SaPair[] } = { ours: [], theirs: [] };
  /** What the user answers; without it nobody is there. */
  user: ((prompt: UserPrompt) => Record<string, string> | undefined) | undefined;
  readonly #inFlight: { atMs: number; order: number; to: 'client' | 'gateway'; datagram: IkeDatagram }[] = [];
  readonly #network: NetworkOptions;
  #order = 0;

  constructor(seed: number, policy: MainModePolicy, options: GatewayOptions, network: NetworkOptions = {}) {
    this.random = generator(seed);
    this.#network = network;
    this.client = new IkeEngine({
      policy: {
        mainModes: () => [policy],
        mainModeOf: () => policy,
        quickMode: () => ({ refused: 'a client' }),
      },
      random: length => Uint8Array.from({ length }, () => this.random() & 0xff),
      lastInboundAtMs: () => undefined,
    });
    this.gateway = new Gateway(this.random, options);
  }

  connect(): this {
    this.apply('client', this.client.connect({ id: 'connect', local, peer }, this.nowMs));
    return this;
  }

  acquire(address = configuration.address ?? local): void {
    const source = hostRange(address);
    const destination = hostRange(ipAddress(addressFamily(address) === 4 ? '10.2.0.1' : 'fd02::1'));
    const selector = { source, destination, protocol: 0, sourcePort: 0, destinationPort: 0 };
    const quickMode = { methods: [esp3des], mode: 'tunnel', selector } as const;
    this.apply('client', this.client.acquire({ id: 'traffic', local, peer, quickMode }, this.nowMs));
  }

  run(forMs: number, done: () => boolean = () => false): boolean {
    const endMs = this.nowMs + forMs;
    while (!done()) {
      this.#inFlight.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#inFlight[0];
      const nextMs = Math.min(
        next?.atMs ?? Number.POSITIVE_INFINITY,
        this.client.nextWakeMs() ?? Number.POSITIVE_INFINITY,
        this.gateway.nextWakeMs() ?? Number.POSITIVE_INFINITY,
      );
      if (nextMs > endMs) {
        this.nowMs = endMs;
        return done();
      }
      this.nowMs = Math.max(this.nowMs, nextMs);
      if (next !== undefined && next.atMs <= this.nowMs) {
        this.#inFlight.shift();
        const turned = { local: next.datagram.peer, peer: next.datagram.local, bytes: next.datagram.bytes };
        this.apply(next.to, this[next.to].receive(turned, this.nowMs));
      } else {
        this.apply('client', this.client.tick(this.nowMs));
        this.apply('gateway', this.gateway.tick(this.nowMs));
      }
    }
    return true;
  }

  apply(side: 'client' | 'gateway', effects: readonly IkeEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.#send(side === 'client' ? 'gateway' : 'client', effect.datagram);
      if (effect.kind === 'installInbound')
        this.pairs[side === 'client' ? 'ours' : 'theirs'].push(effect.pair);
      if (side === 'gateway') continue;
      if (effect.kind === 'connected') this.connected.push(effect.configuration);
      if (effect.kind === 'reconfigured') this.reconfigured.push(effect.configuration);
      if (effect.kind === 'acquired') this.acquired.push(effect.requestId);
      if (effect.kind === 'acquireFailed') this.failures.push(effect.failure);
      if (effect.kind === 'progress') this.steps.push(effect.step);
      if (effect.kind === 'prompt') {
        this.prompts.push(effect.prompt);
        const said = this.user?.(effect.prompt);
        const answers =
          said && Object.fromEntries(Object.entries(said).map(([name, text]) => [name, new Secret(text)]));
        this.apply('client', this.client.answerPrompt(effect.prompt.id, answers, this.nowMs));
      }
    }
  }

  #send(to: 'client' | 'gateway', datagram: IkeDatagram): void {
    const { loss = 0, duplication = 0, maxDelayMs = 5 } = this.#network;
    const chance = () => this.random() / 2 ** 32;
    for (let copies = chance() < duplication ? 2 : 1; copies > 0; copies--)
      if (chance() >= loss)
        this.#inFlight.push({
          atMs: this.nowMs + 1 + Math.floor(chance() * maxDelayMs),
          order: this.#order++,
          to,
          datagram,
        });
  }
}

const pull = clientPolicy('right', { modeConfig: { kind: 'pull', families: [4] } });

describe('a client of a gateway', () => {
  test('user, address, then the pair from that address', () => {
    const scene = new Scene(1, pull, { configuration }).connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.deepEqual(scene.connected, [configuration]);
    scene.acquire();
    assert.ok(scene.run(5_000, () => scene.acquired.length > 0));
    assert.equal(scene.gateway.answered, 1);
    assert.equal(scene.pairs.ours[0]?.selector.source.first, '10.3.0.7');
    // A second wish is granted at once.
    scene.connect();
    assert.equal(scene.connected.length, 2);
    assert.doesNotMatch(JSON.stringify(scene.steps), /right/);
  });

  test('traffic that asks first waits for the user and the address', () => {
    const scene = new Scene(1, pull, { configuration });
    scene.acquire();
    assert.ok(scene.run(5_000, () => scene.acquired.length > 0));
    assert.equal(scene.gateway.answered, 1);
  });

  test('an address of each family; one in use is asked for again, and one that is lost is told', () => {
    const both = { ...configuration, address6: ipAddress('fd03::7') };
    const asks = (inUse: readonly IpAddress[]) =>
      clientPolicy('right', { modeConfig: { kind: 'pull', families: [4, 6], inUse } });
    const scene = new Scene(1, asks([]), { configuration: both }).connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.deepEqual(scene.connected, [both]);
    assert.deepEqual(scene.gateway.asked[0]?.slice(0, 2), [
      'INTERNAL_IP4_ADDRESS (empty)',
      'INTERNAL_IP6_ADDRESS (empty)',
    ]);
    scene.acquire(both.address6);
    assert.ok(scene.run(5_000, () => scene.acquired.length > 0));
    assert.equal(scene.pairs.ours[0]?.selector.source.first, 'fd03::7');

    const again = new Scene(1, asks([ipAddress('fd03::9')]), { configuration: both }).connect();
    assert.ok(again.run(5_000, () => again.connected.length > 0));
    assert.equal(again.gateway.asked[0]?.[1], `INTERNAL_IP6_ADDRESS fd03${'00'.repeat(13)}0980`);
    assert.deepEqual(again.reconfigured, [both]);
    const same = new Scene(1, asks([both.address6]), { configuration: both }).connect();
    assert.ok(same.run(5_000, () => same.connected.length > 0));
    assert.deepEqual(same.reconfigured, []);
  });

  test('what is pushed is taken and acknowledged', () => {
    const policy = clientPolicy('right', { modeConfig: { kind: 'push', families: [4] } });
    const scene = new Scene(1, policy, { configuration, pushes: true }).connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.deepEqual(scene.connected, [configuration]);
    scene.run(1_000);
    assert.equal(scene.gateway.acknowledged, 2);
    const early = new Scene(1, policy, { configuration, pushes: 'first' }).connect();
    assert.ok(early.run(5_000, () => early.connected.length > 0));
    assert.deepEqual(early.connected, [configuration]);
  });

  test('XAUTH alone', () => {
    const scene = new Scene(1, clientPolicy('right'), {}).connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.deepEqual(scene.connected, [{ dnsServers: [], winsServers: [], networks: [] }]);
  });

  test('a wrong password: its own reason, and nothing stays on either side', () => {
    const scene = new Scene(1, clientPolicy('wrong'), { configuration }).connect();
    scene.acquire();
    scene.run(120_000);
    assert.deepEqual(
      scene.failures.map(({ reason }) => reason),
      ['xauth-failed', 'xauth-failed'],
    );
    assert.match(scene.failures[0]?.text ?? '', /refused the user "ann"/);
    assert.equal(scene.failures[0]?.windowsCode, 13801);
    assert.equal(scene.client.mainModes().length, 0);
    assert.equal(scene.gateway.mainModes(), 0);
    assert.equal(scene.client.nextWakeMs(), undefined);
  });

  test('a challenge reaches the user in the words of the gateway, and the answer goes back', () => {
    const challenge = [
      tlv(types.XAUTH_USER_NAME, new Uint8Array(0)),
      tlv(types.XAUTH_CHALLENGE, Buffer.from('Enter\x1b[2J the 3rd code')),
      tlv(types.XAUTH_ANSWER, new Uint8Array(0)),
    ];
    const accepts = (answers: ReadonlyMap<number, string>, question: number) =>
      question === 0 || answers.get(types.XAUTH_ANSWER) === '123456';
    const scene = new Scene(1, pull, { configuration, questions: [usual, challenge], accepts });
    scene.user = () => ({ answer: '123456' });
    scene.connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.deepEqual(
      scene.prompts.map(({ text, asks }) => ({ text, asks })),
      [{ text: 'Enter [2J the 3rd code', asks: ['answer'] }],
    );
  });

  test('a password nobody knows is asked for; when nobody answers, that is the reason', () => {
    const alone = new Scene(1, clientPolicy(undefined), {}).connect();
    alone.run(10_000);
    assert.equal(alone.failures[0]?.reason, 'xauth-failed');
    assert.match(alone.failures[0]?.text ?? '', /asks for the password; nobody is there to answer/);
    assert.equal(alone.client.mainModes().length, 0);
    const answered = new Scene(1, clientPolicy(undefined), {});
    answered.user = () => ({ password: 'right' });
    answered.connect();
    assert.ok(answered.run(5_000, () => answered.connected.length > 0));
  });

  test('every silence and every nonsense of the gateway ends in a named reason', () => {
    const many = Array.from({ length: 9 }, () => usual);
    const chap = [{ form: 'tv', type: types.XAUTH_TYPE, value: 1 } as const, ...usual.slice(1)];
    const noHost = ['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '255.255.255.255', peer].map(
      (address): [MainModePolicy, GatewayOptions, string] => [
        pull,
        { questions: [], configuration: { ...configuration, address: ipAddress(address) } },
        'no-address',
      ],
    );
    const noHost6 = ['::', '::1', '::ffff:10.3.0.7', 'ff02::1', 'fe80::1', 'febf::1'].map(
      (address): [MainModePolicy, GatewayOptions, string] => [
        pull,
        { questions: [], configuration: { ...configuration, address6: ipAddress(address) } },
        'no-address',
      ],
    );
    const push = clientPolicy('right', { modeConfig: { kind: 'push', families: [4, 6] } });
    const loopback = { ...configuration, address6: ipAddress('::1') };
    const usedBoth = clientPolicy('right', {
      modeConfig: {
        ...{ kind: 'pull', families: [4, 6] },
        inUse: [ipAddress('10.3.0.7'), ipAddress('fd03::7')],
      },
    });
    const cases: readonly [MainModePolicy, GatewayOptions, string][] = [
      // Set before it says that it takes the user.
      [push, { configuration: loopback, pushes: 'first' }, 'no-address'],
      // What goes through a tunnel by now must not begin to go past it.
      [usedBoth, { configuration }, 'no-address'],
      ...noHost,
      ...noHost6,
      [pull, { silent: true }, 'xauth-failed'],
      [pull, {}, 'no-response'],
      [
        clientPolicy('right', { modeConfig: { kind: 'push', families: [4] } }),
        { configuration },
        'no-address',
      ],
      [pull, { configuration: noAddress }, 'no-address'],
      [pull, { configuration, questions: [chap] }, 'xauth-failed'],
      [pull, { configuration, questions: many, accepts: () => true }, 'xauth-failed'],
      [
        { ...pull, authentication: clientPolicy('x', { psk: 'other' }).authentication },
        {},
        'preshared-keys-differ',
      ],
    ];
    for (const [policy, options, reason] of cases) {
      const scene = new Scene(1, policy, options).connect();
      scene.run(400_000);
      assert.equal(scene.failures[0]?.reason, reason, JSON.stringify(scene.failures));
      assert.equal(scene.connected.length, 0);
      assert.equal(scene.client.mainModes().length, 0, reason);
      assert.equal(scene.client.nextWakeMs(), undefined, reason);
    }
  });

  test('another address than the one in use: what waits for that one hears so, and the new one is told', () => {
    const inUse = ipAddress('10.3.0.9');
    const policy = clientPolicy('right', { modeConfig: { kind: 'pull', families: [4], inUse: [inUse] } });
    const scene = new Scene(1, policy, { configuration });
    scene.acquire(inUse);
    assert.ok(scene.run(5_000, () => scene.failures.length > 0));
    assert.equal(scene.failures[0]?.reason, 'no-address');
    assert.match(scene.failures[0]?.text ?? '', /now assigns \S+, not 10\.3\.0\.9/);
    assert.deepEqual(scene.reconfigured, [configuration]);
    assert.equal(scene.client.mainModes()[0]?.state, 'established');
    scene.acquire();
    assert.ok(scene.run(5_000, () => scene.acquired.length > 0));
  });

  test('a withdrawn wish leaves nothing behind', () => {
    const scene = new Scene(1, pull, { configuration }).connect();
    scene.apply('client', scene.client.cancel('connect', scene.nowMs));
    assert.equal(scene.failures[0]?.reason, 'cancelled');
    assert.equal(scene.client.mainModes().length, 0);
  });

  test('transactions get no answer from who is no client', () => {
    const scene = new Scene(1, clientPolicy('right'), { pushes: true, configuration }).connect();
    assert.ok(scene.run(5_000, () => scene.connected.length > 0));
    assert.equal(scene.client.mainModes()[0]?.state, 'established');
  });

  test('300 seeds of 20 % loss, duplication and reordering end with matching SAs, or a named reason', () => {
    const network = { loss: 0.2, duplication: 0.2, maxDelayMs: 400 };
    let failed = 0;
    for (let seed = 1; seed <= 300; seed++) {
      const push = seed % 2 === 0;
      const policy = clientPolicy('right', {
        modeConfig: { kind: push ? 'push' : 'pull', families: [4, 6] },
      });
      const scene = new Scene(seed, policy, { configuration, pushes: push }, network);
      scene.acquire();
      assert.ok(
        scene.run(900_000, () => scene.acquired.length + scene.failures.length > 0),
        `seed ${seed}: neither up nor failed`,
      );
      if (scene.failures.length > 0) failed++;
      else
        assert.ok(
          scene.pairs.ours.some(ours => scene.pairs.theirs.some(theirs => keysMatch(ours, theirs))),
          `seed ${seed}: the SAs do not match`,
        );
    }
    assert.ok(failed <= 3, `${failed} of 300 failed`);
  });
});
