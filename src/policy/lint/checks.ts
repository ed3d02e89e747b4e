/** The checks there are. Each is a file here, and finds what `findingKinds` lists. */
import { addressCheck } from './addresses.js';
import { authenticationCheck } from './authentication.js';
import type { Check } from './check.js';
import { exemptionHoleCheck } from './exemption-holes.js';
import { fallbackCheck } from './fallback.js';
import { firstMessageCheck } from './first-message.js';
import { lifetimeCheck, shortLifetimeCheck } from './lifetimes.js';
import { lockoutCheck } from './lockout.js';
import { mainModeCheck } from './main-mode.js';
import { notInForceCheck } from './not-in-force.js';
import { overlapCheck } from './overlapping.js';
import { presharedKeyCheck } from './preshared-keys.js';
import { quickModeCheck } from './quick-modes.js';
import { ruleListCheck } from './rule-list.js';
import { samePeersCheck } from './same-peers.js';
import { sameTrafficCheck } from './same-traffic.js';
import { securityMethodCheck } from './security-methods.js';
import { tunnelCheck } from './tunnels.js';
import { unreachableCheck } from './unreachable.js';
import { weakAlgorithmCheck } from './weak-algorithms.js';

/** On the policy as written, by itself: what cannot work or contradicts itself. Part of every change of a policy. */
export const structureChecks: readonly Check[] = [
  ruleListCheck,
  mainModeCheck,
  securityMethodCheck,
  shortLifetimeCheck,
  authenticationCheck,
  addressCheck,
  tunnelCheck,
  sameTrafficCheck,
];

/** On what the policy comes to, on a given computer: what is legal, and most likely not wise. */
export const reviewChecks: readonly Check[] = [
  lockoutCheck,
  notInForceCheck,
  unreachableCheck,
  overlapCheck,
  exemptionHoleCheck,
  weakAlgorithmCheck,
  lifetimeCheck,
  firstMessageCheck,
  presharedKeyCheck,
  samePeersCheck,
  quickModeCheck,
  fallbackCheck,
];
