import type { Policy } from '../model.js';
import type { Exported, ExportOptions } from './exported.js';
import { exportIpsecpol } from './ipsecpol.js';
import { exportLibreswan } from './libreswan.js';
import { exportRacoon } from './racoon.js';
import { exportSwanctl } from './swanctl.js';

/** What writes one policy for other programs. */
export const exporters = {
  ipsecpol: exportIpsecpol,
  swanctl: exportSwanctl,
  libreswan: exportLibreswan,
  racoon: exportRacoon,
} as const satisfies Record<string, (policy: Policy, options: ExportOptions) => Exported>;

export type ExportFormat = keyof typeof exporters;
