/** The one table of `ipsecpol` flags: parsing, checking, printing and the usage texts read it. */
export interface Flag {
  /** What stands behind the flag: nothing, one value, or values up to the next flag (and it may be repeated). */
  readonly takes: 'nothing' | 'one' | 'list';
  /** The value's name in usage texts, and what a value is called in error messages. */
  readonly value?: { readonly name: string; readonly what: string };
  readonly mode: 'both' | 'dynamic' | 'static';
  readonly help: string;
}

export const flags = {
  '-f': {
    takes: 'list',
    value: { name: 'FilterList', what: 'filter spec' },
    mode: 'both',
    help: 'traffic the rule covers: A.B.C.D/mask:port=A.B.C.D/mask:port:protocol, or DEFAULT',
  },
  '-n': {
    takes: 'list',
    value: { name: 'NegotiationPolicyList', what: 'negotiation policy' },
    mode: 'both',
    help: 'what happens to it, in order of preference: ESP[cipher,hash], AH[hash], AH[hash]+ESP[cipher,hash], or BLOCK, PASS, INPASS',
  },
  '-t': {
    takes: 'one',
    value: { name: 'TunnelAddress', what: 'tunnel address' },
    mode: 'both',
    help: 'tunnel endpoint towards which the traffic travels; transport mode when absent',
  },
  '-a': {
    takes: 'list',
    value: { name: 'AuthMethodList', what: 'authentication method' },
    mode: 'both',
    help: 'KERBEROS, PRESHARE:"key", PRESHARE-FILE:path or CERT:"CA name", in order of preference',
  },
  '-u': { takes: 'nothing', mode: 'both', help: 'delete all dynamic rules' },
  '-soft': {
    takes: 'nothing',
    mode: 'both',
    help: 'fall back to clear text when the peer does not answer IKE',
  },
  '-dialup': { takes: 'nothing', mode: 'both', help: 'only on dial-up adapters' },
  '-lan': { takes: 'nothing', mode: 'both', help: 'only on LAN adapters' },
  '-1s': {
    takes: 'list',
    value: { name: 'SecurityMethodList', what: 'main mode method' },
    mode: 'both',
    help: 'main mode offers, in order of preference: cipher-hash-group',
  },
  '-1k': {
    takes: 'one',
    value: { name: 'Phase1RekeyAfter', what: 'main mode rekey limit' },
    mode: 'both',
    help: 'new main mode after so many quick modes (Q) or seconds (S): 10Q/3600S',
  },
  '-1p': { takes: 'nothing', mode: 'both', help: 'main mode perfect forward secrecy' },
  '-1e': {
    takes: 'one',
    value: { name: 'SoftSAExpirationTime', what: 'soft SA expiry' },
    mode: 'both',
    help: 'a soft SA (-soft) ends after so many seconds without traffic',
  },
  '-confirm': { takes: 'nothing', mode: 'dynamic', help: 'ask before doing it' },
  '-w': {
    takes: 'one',
    value: { name: 'TYPE:DOMAIN', what: 'store' },
    mode: 'static',
    help: 'store to write to: REG (this computer), DS or DS:domain (directory)',
  },
  '-p': {
    takes: 'one',
    value: { name: 'PolicyName:PollInterval', what: 'policy name' },
    mode: 'static',
    help: 'policy to create or extend, and its poll interval in minutes',
  },
  '-r': {
    takes: 'one',
    value: { name: 'RuleName', what: 'rule name' },
    mode: 'static',
    help: 'rule to create, or to change in the parts given',
  },
  '-x': { takes: 'nothing', mode: 'static', help: 'assign the policy' },
  '-y': { takes: 'nothing', mode: 'static', help: 'unassign the policy' },
  '-o': { takes: 'nothing', mode: 'static', help: 'delete the policy with everything in it' },
  '-file': {
    takes: 'one',
    value: { name: 'FileName', what: 'script' },
    mode: 'both',
    help: 'run the lines of a file (- is stdin) as one change: all of them or none',
  },
  '-?': { takes: 'nothing', mode: 'both', help: 'show this text' },
} as const satisfies Record<string, Flag>;

export type FlagName = keyof typeof flags;

export const flagNames = Object.keys(flags) as FlagName[];

/** A row of the table, widened so that `value` can be read of any flag. */
export function flag(name: FlagName): Flag {
  return flags[name];
}

/** The flag a command line word names, in any case; `undefined` when it is none. */
export function findFlag(word: string): FlagName | undefined {
  const lower = word.toLowerCase();
  if (lower === '/?' || lower === '--help') return '-?';
  return flagNames.find(name => name === lower);
}
