import { Flags } from '@oclif/core';
import { vendorProfiles } from '../ike/vendor-profile.js';

/** As whom IKE negotiates. */
export const vendorProfileFlag = Flags.option({
  options: vendorProfiles,
  summary: 'negotiate as ourselves (default) or as Windows Server 2003: its vendor IDs, offers and timers',
  description: 'Goes before "vendorProfile" in settings.json beside the policies.',
})();
