import { Flags, type Interfaces } from '@oclif/core';
import type { PolicyChanges } from '../policy/edit.js';
import { parseIkeProposals } from '../policy/proposals.js';

/** Flags that describe a policy, for `policy create` and `policy edit`. */
export const policyFlags = {
  description: Flags.string({ summary: 'text for people; empty takes it away', helpValue: 'TEXT' }),
  'poll-interval': Flags.integer({
    summary: 'minutes between two looks for changes of the policy',
    min: 0,
    max: 71_582_788,
  }),
  ike: Flags.string({
    summary: 'main mode proposals, preferred first',
    helpValue: '3des-sha1-modp1024,…',
  }),
  'ike-lifetime': Flags.integer({
    summary: 'seconds until main mode is negotiated anew',
    min: 1,
    max: 0xffff_ffff,
  }),
  aggressive: Flags.boolean({
    summary: 'begin and answer aggressive mode, which shows a hash of the preshared key to anyone who asks',
    allowNo: true,
  }),
  'master-pfs': Flags.boolean({ summary: 'main mode PFS: a main mode for each quick mode', allowNo: true }),
  sessions: Flags.integer({
    summary: 'quick modes for one main mode; 0 is any number',
    min: 0,
    max: 0xffff_ffff,
  }),
  assign: Flags.boolean({ summary: 'assign the policy; any other is unassigned' }),
} as const;

export type PolicyFlagValues = Interfaces.InferredFlags<typeof policyFlags>;

/** The changes the flags ask for. Throws `IpseckitError` (USAGE) naming the proposal. */
export function policyChangesOf(flags: PolicyFlagValues): PolicyChanges {
  return {
    ...(flags.description === undefined ? {} : { description: flags.description }),
    ...(flags['poll-interval'] === undefined ? {} : { pollIntervalMinutes: flags['poll-interval'] }),
    ...(flags.ike === undefined ? {} : { methods: parseIkeProposals(flags.ike) }),
    ...(flags['ike-lifetime'] === undefined ? {} : { lifetimeSeconds: flags['ike-lifetime'] }),
    ...(flags['master-pfs'] === undefined ? {} : { masterKeyPfs: flags['master-pfs'] }),
    ...(flags.aggressive === undefined ? {} : { aggressive: flags.aggressive }),
    ...(flags.sessions === undefined ? {} : { quickModeLimit: flags.sessions }),
  };
}
