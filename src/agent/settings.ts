/**
 * What holds for the whole computer, whatever policy is assigned: on Windows these are registry values of the driver
 * and the policy agent. Here they are `settings.json` beside the policies, read when the agent starts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type VendorProfile, vendorProfiles } from '../ike/vendor-profile.js';
import { type ExemptionLevel, exemptions } from '../policy/exemptions.js';
import { type Decoder, integer, object, oneOf, optional, SchemaError } from '../policy/schema.js';
import { type DirectorySettings, directorySettings } from '../policy/stores/directory/settings.js';
import { errnoOf, fileError } from '../policy/stores/file-error.js';
import type { Home } from '../policy/stores/home.js';
import { IpseckitError } from '../report/errors.js';

/** Every field has a default, named here. */
export interface AgentSettings {
  /** Which default exemptions are lifted (`policy-semantics.md` 7). 0: none. */
  readonly noDefaultExempt?: ExemptionLevel;
  /** 0 looks at no CRL, 1 refuses what is known to be revoked, 2 also what no CRL clears. */
  readonly strongCrlCheck?: 0 | 1 | 2;
  /** A pair of SAs that a filter asked for ends after so many seconds without traffic; 0: never. 300 when absent. */
  readonly saIdleSeconds?: number;
  /** As whom we negotiate: ourselves, or Windows Server 2003 with its vendor IDs, offers and timers. */
  readonly vendorProfile?: VendorProfile;
  /** The directory whose policy goes before the local one; none when absent. */
  readonly directory?: DirectorySettings;
  /** The packet engine. `auto`, the default: the kernel's own (`xfrm`) where it can, else ours. */
  readonly driver?: 'auto' | 'xfrm' | 'userspace';
}

const settings: Decoder<AgentSettings> = object({
  noDefaultExempt: optional(oneOf(0, 1, 2, 3)),
  strongCrlCheck: optional(oneOf(0, 1, 2)),
  saIdleSeconds: optional(integer(0, 86_400)),
  vendorProfile: optional(oneOf(...vendorProfiles)),
  directory: optional(directorySettings),
  driver: optional(oneOf('auto', 'xfrm', 'userspace')),
});

export function settingsFile(home: Home): string {
  return join(home.state, 'settings.json');
}

/** The settings of this home; none where there is no file. Throws `IpseckitError` (STORE, ACCESS_DENIED). */
export function readSettings(home: Home): AgentSettings {
  const path = settingsFile(home);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return {};
    throw fileError('read', path, error);
  }
  try {
    return settings(JSON.parse(text), '');
  } catch (error) {
    const isOurs = error instanceof SchemaError || error instanceof SyntaxError;
    if (!isOurs) throw error;
    throw new IpseckitError('STORE', `${path}: ${error.message}`, {
      next: 'correct the file, or remove it: every setting has a default',
    });
  }
}

/** `NoDefaultExempt 1: IKE (UDP 500 and 4500), …` — what no filter sees at this level. */
export function describeExemptions(level: ExemptionLevel): string {
  const names = exemptions
    .filter(({ name, levels }) => name === 'ike' || levels?.includes(level))
    .map(({ what }) => what);
  return `NoDefaultExempt ${level}: ${names.join(', ')} pass all filters`;
}
