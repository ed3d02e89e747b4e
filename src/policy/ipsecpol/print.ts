import { printAuthentication } from './authentication.js';
import type { IpsecpolRequest, StoreSpec } from './command.js';
import { printFilterSpec, printHost } from './filter-spec.js';
import { printMainModeMethod, printMainModeRekey, printNegotiation } from './security-method.js';

export interface PrintOptions {
  /** `masked` (the default) prints `PRESHARE:"…"`. */
  readonly secrets?: 'masked' | 'shown';
}

/** The command line of a request, canonical: `parseIpsecpol(printIpsecpol(x, { secrets: 'shown' }))` is `x`. */
export function printIpsecpol(request: IpsecpolRequest, { secrets = 'masked' }: PrintOptions = {}): string[] {
  if (request.kind === 'help') return request.detail === 'short' ? [] : ['-?'];
  const host = request.host === undefined ? [] : [`\\\\${request.host}`];
  if (request.kind === 'file') return [...host, '-file', request.path];
  const list = (flag: string, items: readonly string[]) => (items.length === 0 ? [] : [flag, ...items]);
  const set = (flag: string, on: boolean) => (on ? [flag] : []);
  return [
    ...host,
    ...(request.kind === 'static'
      ? [
          '-w',
          printStore(request.store),
          '-p',
          request.pollIntervalMinutes === undefined
            ? request.policyName
            : `${request.policyName}:${request.pollIntervalMinutes}`,
          ...request.ruleNames.flatMap(name => ['-r', name]),
        ]
      : []),
    ...list('-f', request.filters.map(printFilterSpec)),
    ...list('-n', request.negotiation.map(printNegotiation)),
    ...(request.tunnel === undefined ? [] : ['-t', printHost(request.tunnel)]),
    ...list(
      '-a',
      request.authentication.map(method => printAuthentication(method, secrets)),
    ),
    ...set('-u', request.deleteDynamic),
    ...set('-soft', request.soft),
    ...(request.connectionType === undefined ? [] : [`-${request.connectionType}`]),
    ...list('-1s', request.mainModeMethods.map(printMainModeMethod)),
    ...(request.mainModeRekey === undefined ? [] : ['-1k', printMainModeRekey(request.mainModeRekey)]),
    ...set('-1p', request.masterKeyPfs),
    ...(request.softSaSeconds === undefined ? [] : ['-1e', String(request.softSaSeconds)]),
    ...(request.kind === 'static'
      ? [...set('-x', request.assign), ...set('-y', request.unassign), ...set('-o', request.delete)]
      : set('-confirm', request.confirm)),
  ];
}

function printStore(store: StoreSpec): string {
  if (store.kind === 'directory') return store.domain === undefined ? 'DS' : `DS:${store.domain}`;
  return store.kind === 'local' ? 'REG' : 'PERS';
}

/** Joins arguments into a line to paste into a POSIX shell. */
export function shellLine(argv: readonly string[]): string {
  return argv
    .map(word => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}
