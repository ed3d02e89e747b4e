import type { Driver } from '../driver/api.js';
import { UserspaceDriver } from '../driver/userspace/driver.js';

/** The packet engine this host gets, and why. The kernel's own engine is not wired up yet, so there is one choice. */
export async function chooseDriver(): Promise<{ readonly driver: Driver; readonly reason: string }> {
  return { driver: new UserspaceDriver(), reason: 'works on any Linux with TUN; the only engine so far' };
}
