/**
 * How long SAs live and when their replacement starts (ike.md 10; draft-jenkins-ipsec-rekeying). The initiator
 * of an SA renews it early and jittered; the responder only just before the end, if the initiator did nothing.
 */
import type { SaLifetime } from '../driver/api.js';
import type { policyDefaults, SecurityMethod } from '../policy/model.js';

/** What holds when a method says nothing; the types make these the values of `policyDefaults`. */
const defaultSeconds: (typeof policyDefaults)['quickModeLifetimeSeconds'] = 3_600;
const defaultKilobytes: (typeof policyDefaults)['quickModeLifetimeKilobytes'] = 100_000;
const defaultMainModeSeconds: (typeof policyDefaults)['mainModeLifetimeSeconds'] = 28_800;

/** A peer may ask for shorter lives than ours, but not for ones that only cost us renegotiations. */
const least = { seconds: 60, kilobytes: 1_024 } as const;

/** Seconds before the hard end at which a responder renews an SA whose initiator did not. */
const responderMarginSeconds = 30;

/** The two limits of an SA; 0 is no limit. */
export interface Limits {
  readonly seconds: number;
  readonly kilobytes: number;
}

/** The limits a method asks for. */
export function limitsOf(method: SecurityMethod): Limits {
  return {
    seconds: method.lifetimeSeconds || defaultSeconds,
    kilobytes: method.lifetimeKilobytes || defaultKilobytes,
  };
}

/** Our main mode lifetime; 0 in a policy means the default. */
export function mainModeSeconds(policySeconds: number): number {
  return policySeconds || defaultMainModeSeconds;
}

/** The shorter of our limit and the peer's, but no shorter than is sensible; a missing or 0 value is no limit of that side. */
function shorter(own: number, peer: number | undefined, sensible: number): number {
  if (!peer) return own;
  return own === 0 ? Math.max(peer, sensible) : Math.max(Math.min(own, peer), Math.min(own, sensible));
}

/** How long an SA lives that we would keep for `own` seconds. */
export function agreeSeconds(own: number, peer: number | undefined): number {
  return shorter(own, peer, least.seconds);
}

/** The limits both sides can live with. */
export function agreeLimits(
  own: Limits,
  peer: { readonly seconds?: number | undefined; readonly kilobytes?: number | undefined },
): Limits {
  return {
    seconds: agreeSeconds(own.seconds, peer.seconds),
    kilobytes: shorter(own.kilobytes, peer.kilobytes, least.kilobytes),
  };
}

/**
 * Soft and hard limits for the driver. `jitter` is a random number in [0, 1). Kilobytes renew at 90 % at the
 * latest, because peers count 1,000 or 1,024 bytes.
 */
export function saLifetime(limits: Limits, role: 'initiator' | 'responder', jitter: number): SaLifetime {
  const { seconds, kilobytes } = limits;
  const [softSeconds, softKilobytes] =
    role === 'initiator'
      ? [initiatorSoftLife(seconds, jitter), kilobytes * (0.8 + 0.08 * jitter)]
      : [Math.max(seconds - responderMarginSeconds, seconds * 0.97), kilobytes * 0.9];
  return {
    softSeconds: softLimit(softSeconds),
    hardSeconds: seconds,
    softKilobytes: softLimit(softKilobytes),
    hardKilobytes: kilobytes,
  };
}

/** In whole units; 0 would be no limit. */
function softLimit(limit: number): number {
  return limit === 0 ? 0 : Math.max(1, Math.floor(limit));
}

/** When the initiator of an SA renews it, in the unit of its life: at 85 to 95 % of that. */
export function initiatorSoftLife(life: number, jitter: number): number {
  return life * (0.85 + 0.1 * jitter);
}
