/** The counters of `monitoring.md` 2.1 that IKE itself knows. */
export interface Counters {
  mainModes: number;
  quickModes: number;
  authenticationFailures: number;
  acquireFailures: number;
  negotiationFailures: number;
  invalidCookies: number;
  totalAcquire: number;
  totalGetSpi: number;
  keyAdditions: number;
  keyUpdates: number;
  invalidPackets: number;
}

export function newCounters(): Counters {
  return {
    mainModes: 0,
    quickModes: 0,
    authenticationFailures: 0,
    acquireFailures: 0,
    negotiationFailures: 0,
    invalidCookies: 0,
    totalAcquire: 0,
    totalGetSpi: 0,
    keyAdditions: 0,
    keyUpdates: 0,
    invalidPackets: 0,
  };
}
