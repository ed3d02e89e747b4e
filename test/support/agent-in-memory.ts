import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentHost } from '../../src/agent/host.js';
import { MemoryNetwork } from '../../src/driver/userspace/memory.js';
import { ipseckitHome } from '../../src/policy/stores/home.js';
import { MemoryDriver } from './memory-driver.js';
import { VirtualClock } from './virtual-clock.js';

/** An agent with a home and a control socket, and a driver in memory: for tests of what is asked of it. */
export function agentInMemory(name: string) {
  const folder = mkdtempSync(join(tmpdir(), `ipseckit-${name}-`));
  const home = ipseckitHome({ IPSECKIT_HOME: folder });
  const driver = new MemoryDriver(
    new MemoryNetwork().host({ addresses: [] }),
    new VirtualClock(),
    length => new Uint8Array(length),
  );
  const host = new AgentHost({ home, driver, driverReason: 'a test', version: '0', onEvent: () => {} });
  let running: Promise<void> | undefined;
  return {
    home,
    driver,
    /** Ends when it listens. */
    start: () =>
      new Promise<void>(resolve => {
        running = host.run(resolve);
      }),
    stop: async () => {
      host.stop();
      await running;
      rmSync(folder, { recursive: true });
    },
  };
}
