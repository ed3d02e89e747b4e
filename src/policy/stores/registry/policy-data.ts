import type { Guid } from '../../model.js';
import { struct, u32 } from './fields.js';
import { blob } from './frame.js';

/** `ipsecData` of an ipsecPolicy object (`policy-store.md` 4.1). 0 seconds is three hours. */
export const policyData = blob(
  'ipsecPolicy',
  '{22202163-4F4C-11D1-863B-00A0248D3021}' as Guid,
  struct({ pollingSeconds: u32 }),
);
