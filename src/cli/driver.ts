import { Flags } from '@oclif/core';
import type { AgentSettings } from '../agent/settings.js';
import type { Driver } from '../driver/api.js';
import { UserspaceDriver } from '../driver/userspace/driver.js';
import { XfrmDriver } from '../driver/xfrm/driver.js';
import { probeKernel } from '../driver/xfrm/probe.js';
import { ipseckitHome } from '../policy/stores/home.js';

/** What can be asked for. */
export const driverChoices = [
  'auto',
  'xfrm',
  'userspace',
] as const satisfies readonly AgentSettings['driver'][];

/** The flag of every command that may start an engine. */
export const driverFlag = Flags.custom<(typeof driverChoices)[number]>({
  summary:
    "the packet engine: the kernel's own ESP and AH (xfrm), our own, or what this host can (auto, default)",
  description: 'Goes before "driver" in settings.json beside the policies.',
  options: [...driverChoices],
  helpValue: 'ENGINE',
  parse: async text => driverChoices.find(choice => choice === text) ?? 'auto',
});

/**
 * The packet engine this host gets, and why. Throws `IpseckitError` (ENVIRONMENT, ACCESS_DENIED) when the one asked for
 * cannot be had.
 */
export async function chooseDriver({
  noDefaultExempt,
  driver: wanted = 'auto',
}: AgentSettings = {}): Promise<{ readonly driver: Driver; readonly reason: string }> {
  const options = {
    ...(noDefaultExempt === undefined ? {} : { noDefaultExempt }),
    runtimeFolder: ipseckitHome().runtime,
  };
  if (wanted === 'userspace') return { driver: new UserspaceDriver(options), reason: 'asked for' };
  const lacking = probeKernel();
  if (wanted === 'xfrm') {
    if (lacking !== undefined) throw lacking;
    return { driver: new XfrmDriver(options), reason: 'asked for' };
  }
  if (lacking === undefined)
    return { driver: new XfrmDriver(options), reason: "this kernel's own ESP and AH can be used" };
  return { driver: new UserspaceDriver(options), reason: `works on any Linux with TUN; ${lacking.message}` };
}
