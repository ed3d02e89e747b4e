/**
 * A program that runs a driver (`xfrm` as argument: the kernel's, else the user-space one) on a test host, without IKE: requests come as JSON lines on stdin, each
 * is answered with a JSON line. `DriverOnHost` in `driver-on-host.ts` is its other end.
 */
import { createInterface } from 'node:readline';
import type { Driver, DriverFilter, SaHalf, SaPair, SoftSa } from '../../src/driver/api.js';
import { IpseckitError } from '../../src/report/errors.js';
import { fromHex } from '../../src/wire/bytes.js';

/** An SA with its keys in hexadecimal. */
export type HexHalf = Omit<SaHalf, 'encryptionKey' | 'integrityKey'> & {
  readonly encryptionKey: string;
  readonly integrityKey: string;
};
export type HexPair = Omit<SaPair, 'inbound' | 'outbound'> & {
  readonly inbound: readonly HexHalf[];
  readonly outbound: readonly HexHalf[];
};

export type DriverRequest =
  | { readonly kind: 'setFilters'; readonly filters: readonly DriverFilter[] }
  | { readonly kind: 'install'; readonly pair: HexPair }
  | { readonly kind: 'remove'; readonly pairId: SaPair['id'] }
  | { readonly kind: 'negotiationFailed'; readonly soft: Omit<SoftSa, 'local'> }
  | { readonly kind: 'addSoftSa' | 'removeSoftSa'; readonly soft: SoftSa }
  | { readonly kind: 'softSaStatistics' }
  | { readonly kind: 'statistics' }
  | { readonly kind: 'events' }
  | { readonly kind: 'stop' };

/** Loads one engine only: in a slow machine each file counts. */
async function engine(): Promise<Driver> {
  if (process.argv[2] === 'xfrm') {
    const { XfrmDriver } = await import('../../src/driver/xfrm/driver.js');
    return new XfrmDriver();
  }
  const { UserspaceDriver } = await import('../../src/driver/userspace/driver.js');
  return new UserspaceDriver();
}

const driver = await engine();
const events: unknown[] = [];

async function answer(request: DriverRequest): Promise<unknown> {
  switch (request.kind) {
    case 'setFilters':
      return driver.setFilters(request.filters);
    case 'install': {
      const pair = {
        ...request.pair,
        inbound: request.pair.inbound.map(withKeys),
        outbound: request.pair.outbound.map(withKeys),
      };
      driver.installInbound(pair);
      driver.activateOutbound(pair.id);
      return undefined;
    }
    case 'remove':
      return driver.removePair(request.pairId);
    case 'negotiationFailed':
      return driver.negotiationFailed(request.soft.filterId, request.soft.peer);
    case 'addSoftSa':
    case 'removeSoftSa':
      return driver[request.kind](request.soft);
    case 'softSaStatistics':
      return driver.softSaStatistics();
    case 'statistics': {
      const filters = [...(await driver.filterPackets())];
      const { user, system } = process.cpuUsage();
      return {
        filters,
        driver: driver.statistics(),
        pairs: driver.pairStatistics(),
        recentDrops: (await driver.dropHistory()).recent,
        processorMs: (user + system) / 1000,
      };
    }
    case 'events':
      return events.splice(0);
    case 'stop':
      return driver.stop();
  }
}

function withKeys(half: HexHalf): SaHalf {
  return {
    ...half,
    encryptionKey: fromHex(half.encryptionKey),
    integrityKey: fromHex(half.integrityKey),
  };
}

function say(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function errorOf(error: unknown): unknown {
  return error instanceof IpseckitError ? error.toJSON() : { message: String(error) };
}

async function main(): Promise<void> {
  try {
    await driver.start(event => events.push(event));
  } catch (error) {
    say({ error: errorOf(error) });
    process.exit(1);
  }
  say({ result: 'started' });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      say({ result: (await answer(JSON.parse(line))) ?? null });
    } catch (error) {
      say({ error: errorOf(error) });
    }
  }
  await driver.stop();
}

await main();
