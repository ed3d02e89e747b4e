import type { AgentSettings } from '../agent/settings.js';
import type { Driver } from '../driver/api.js';
import { UserspaceDriver } from '../driver/userspace/driver.js';

/** The packet engine this host gets, and why. The kernel's own engine is not wired up yet, so there is one choice. */
export async function chooseDriver({
  noDefaultExempt,
}: AgentSettings = {}): Promise<{ readonly driver: Driver; readonly reason: string }> {
  const driver = new UserspaceDriver(noDefaultExempt === undefined ? {} : { noDefaultExempt });
  return { driver, reason: 'works on any Linux with TUN; the only engine so far' };
}
