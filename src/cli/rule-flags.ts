import { Flags, type Interfaces } from '@oclif/core';
import type { FilterAddressText, FilterText } from '../policy/build.js';
import type { ActionChanges, RuleChanges } from '../policy/edit.js';
import type { AuthenticationSpec } from '../policy/ipsecpol/command.js';
import type { AddressSpec, Filter, SecurityMethod } from '../policy/model.js';
import { parseAhProposals, parseEspProposals } from '../policy/proposals.js';
import {
  addressForms,
  parseAddressWord,
  parseFilterWord,
  parseHostWord,
  parseMethodWord,
  parsePfsWord,
  parsePortWord,
  parseProtocolWord,
  pfsWords,
  requireName,
  requirePortsFit,
} from '../policy/words.js';
import { IpseckitError } from '../report/errors.js';

/** Flags that describe a rule, for `rule add` and `rule edit`. */
export const ruleFlags = {
  name: Flags.string({ summary: 'name of the rule; for an existing rule its new name', helpValue: 'NAME' }),
  description: Flags.string({ summary: 'text for people; empty takes it away', helpValue: 'TEXT' }),
  active: Flags.boolean({ summary: 'whether the rule counts at all', allowNo: true }),
  source: Flags.string({ summary: `source of the traffic: ${addressForms}`, helpValue: 'ADDRESS' }),
  destination: Flags.string({ summary: 'destination, written likewise', helpValue: 'ADDRESS' }),
  protocol: Flags.string({ summary: 'tcp, udp, icmp, a number or any', helpValue: 'PROTOCOL' }),
  'source-port': Flags.string({ summary: 'a port, or any', helpValue: 'PORT' }),
  'destination-port': Flags.string({ summary: 'a port, or any', helpValue: 'PORT' }),
  'one-way': Flags.boolean({
    summary: 'only from source to destination; in a tunnel rule it is always so',
    allowNo: true,
  }),
  filter: Flags.string({
    summary: 'a filter as for ipsecpol, instead of the flags above; may be repeated',
    helpValue: '0+192.0.2.20:80:TCP',
    multiple: true,
    multipleNonGreedy: true,
  }),
  permit: Flags.boolean({ summary: 'let the traffic pass in clear', exclusive: ['block'] }),
  block: Flags.boolean({ summary: 'drop the traffic', exclusive: ['permit'] }),
  esp: Flags.string({
    summary: 'secure it: ESP proposals, preferred first',
    helpValue: 'aes128-sha256,3des-sha1',
    multiple: true,
    multipleNonGreedy: true,
  }),
  ah: Flags.string({
    summary: 'secure it: AH proposals',
    helpValue: 'sha1',
    multiple: true,
    multipleNonGreedy: true,
  }),
  method: Flags.string({
    summary: 'secure it: a method as for ipsecpol; may be repeated',
    helpValue: 'ESP[3DES,SHA]3600S',
    multiple: true,
    multipleNonGreedy: true,
  }),
  esn: Flags.boolean({
    summary: 'extended sequence numbers, of 64 bits, which Windows does not have; as -esn in a proposal',
    allowNo: true,
  }),
  pfs: Flags.string({ summary: `session-key PFS: ${pfsWords.join(', ')}`, helpValue: 'GROUP' }),
  lifetime: Flags.integer({ summary: 'seconds until a session key is replaced', min: 1, max: 0xffff_ffff }),
  kilobytes: Flags.integer({
    summary: 'kilobytes until a session key is replaced',
    min: 1,
    max: 0xffff_ffff,
  }),
  'accept-unsecured': Flags.boolean({
    summary: 'accept inbound traffic in clear, and answer secured',
    allowNo: true,
  }),
  fallback: Flags.boolean({ summary: 'send in clear when the peer does not answer IKE', allowNo: true }),
  tunnel: Flags.string({
    summary: 'tunnel endpoint towards which the traffic travels, or none',
    helpValue: 'HOST',
  }),
  'psk-file': Flags.string({
    summary: 'authenticate with the preshared key in the first line of a file',
    helpValue: 'FILE',
  }),
  ca: Flags.string({
    summary: 'authenticate with certificates of this authority; may be repeated',
    helpValue: 'NAME',
    multiple: true,
    multipleNonGreedy: true,
  }),
  kerberos: Flags.boolean({ summary: 'authenticate with Kerberos' }),
  lan: Flags.boolean({ summary: 'only on LAN adapters', exclusive: ['dialup', 'all-adapters'] }),
  dialup: Flags.boolean({ summary: 'only on dial-up adapters', exclusive: ['lan', 'all-adapters'] }),
  'all-adapters': Flags.boolean({ summary: 'on all adapters', exclusive: ['lan', 'dialup'] }),
} as const;

/** What the flags of `ruleFlags` come out as. */
export type RuleFlagValues = Interfaces.InferredFlags<typeof ruleFlags>;

/** A word of the command line as the parser met it: the order of methods is their order of preference. */
export type RawWord = { readonly type: string; readonly flag?: string; readonly input: string };

/**
 * The changes the flags ask for. `before` are the filters there are, of which a rule with one filter can be changed in
 * parts; `undefined` for a new rule. Throws `IpseckitError` (USAGE, CONFLICT, UNSUPPORTED) naming the flag.
 */
export function ruleChangesOf(
  flags: RuleFlagValues,
  raw: readonly RawWord[],
  before?: { readonly filters: readonly Filter[]; readonly tunnel: boolean },
): RuleChanges {
  const tunnel = flags.tunnel === undefined ? undefined : parseTunnel(flags.tunnel);
  const isTunnel = tunnel === undefined ? before?.tunnel === true : tunnel !== 'none';
  const filters = filtersOf(flags, isTunnel, before?.filters);
  const action = actionOf(flags, raw);
  const authentication = authenticationOf(raw);
  const connectionType = flags.lan
    ? 'lan'
    : flags.dialup
      ? 'dialup'
      : flags['all-adapters']
        ? 'all'
        : undefined;
  return {
    ...(flags.name === undefined ? {} : { name: requireName(flags.name, '--name') }),
    ...(flags.description === undefined ? {} : { description: flags.description }),
    ...(flags.active === undefined ? {} : { active: flags.active }),
    ...(filters === undefined ? {} : { filters }),
    ...(action === undefined ? {} : { action }),
    ...(authentication.length === 0 ? {} : { authentication }),
    ...(tunnel === undefined ? {} : { tunnel }),
    ...(connectionType === undefined ? {} : { connectionType }),
  };
}

function parseTunnel(text: string) {
  return text.trim().toLowerCase() === 'none' ? 'none' : parseHostWord(text, '--tunnel');
}

const filterParts = [
  'source',
  'destination',
  'protocol',
  'source-port',
  'destination-port',
  'one-way',
] as const;

function filtersOf(
  flags: RuleFlagValues,
  isTunnel: boolean,
  before: readonly Filter[] | undefined,
): FilterText[] | undefined {
  const parts = filterParts.filter(name => flags[name] !== undefined);
  if (flags.filter !== undefined) {
    const [part] = parts;
    if (part !== undefined)
      throw new IpseckitError('CONFLICT', `--filter and --${part} exclude each other`, {
        next: 'write the whole filter behind --filter',
      });
    return flags.filter.map(text => parseFilterWord(text, '--filter'));
  }
  if (parts.length === 0) return undefined;
  const [old, another] = before ?? [];
  if (before !== undefined && (old === undefined || another !== undefined))
    throw new IpseckitError(
      'CONFLICT',
      `--${parts[0]} changes the one filter of a rule, and this rule has ${before.length}`,
      {
        next: 'give all its filters with --filter, or use "ipseckit filter add" and "filter remove"',
      },
    );
  const { source, destination, protocol } = flags;
  const port = (name: 'source-port' | 'destination-port', oldPort = 0) =>
    flags[name] === undefined ? oldPort : parsePortWord(flags[name], `--${name}`);
  const oneWay = flags['one-way'] ?? (old === undefined ? isTunnel : !old.mirrored);
  const filter: FilterText = {
    source: source === undefined ? written(old?.source, 'source') : parseAddressWord(source, '--source'),
    destination:
      destination === undefined
        ? written(old?.destination, 'destination')
        : parseAddressWord(destination, '--destination'),
    protocol: protocol === undefined ? (old?.protocol ?? 0) : parseProtocolWord(protocol, '--protocol'),
    sourcePort: port('source-port', old?.sourcePort),
    destinationPort: port('destination-port', old?.destinationPort),
    mirrored: !oneWay,
  };
  requirePortsFit(filter);
  return [filter];
}

/** An address as it was given; for a new rule the flag is missing. */
function written(address: AddressSpec | undefined, flag: string): FilterAddressText {
  if (address === undefined)
    throw new IpseckitError('USAGE', `--${flag} is missing`, {
      next: `say which traffic the rule covers: --source and --destination, or --filter`,
    });
  return address.kind === 'dns' ? { kind: 'name', name: address.name } : address;
}

function actionOf(flags: RuleFlagValues, raw: readonly RawWord[]): ActionChanges | undefined {
  const { esn, pfs, lifetime, kilobytes, fallback } = flags;
  const acceptUnsecured = flags['accept-unsecured'];
  const methods = methodsOf(raw);
  const given = Object.entries({
    esn,
    pfs,
    lifetime,
    kilobytes,
    fallback,
    'accept-unsecured': acceptUnsecured,
  })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => name);
  const [negotiating] = methods.length > 0 ? ['a security method'] : given.map(name => `--${name}`);
  const open = flags.permit ? 'permit' : flags.block ? 'block' : undefined;
  if (open !== undefined) {
    if (negotiating === undefined) return { kind: open };
    throw new IpseckitError('CONFLICT', `--${open} and ${negotiating} exclude each other`, {
      next: 'leave one of them out',
    });
  }
  if (negotiating === undefined) return undefined;
  return {
    kind: 'negotiate',
    ...(methods.length === 0 ? {} : { methods }),
    ...(acceptUnsecured === undefined ? {} : { acceptUnsecured }),
    ...(fallback === undefined ? {} : { allowFallback: fallback }),
    ...(lifetime === undefined ? {} : { lifetimeSeconds: lifetime }),
    ...(kilobytes === undefined ? {} : { lifetimeKilobytes: kilobytes }),
    ...(pfs === undefined ? {} : { pfs: parsePfsWord(pfs, '--pfs') }),
    ...(esn === undefined ? {} : { extendedSequence: esn }),
  };
}

function methodsOf(raw: readonly RawWord[]): SecurityMethod[] {
  return raw.flatMap(({ flag, input }) => {
    if (flag === 'esp') return parseEspProposals(input);
    if (flag === 'ah') return parseAhProposals(input);
    return flag === 'method' ? [parseMethodWord(input, '--method')] : [];
  });
}

function authenticationOf(raw: readonly RawWord[]): AuthenticationSpec[] {
  return raw.flatMap(({ flag, input }): AuthenticationSpec[] => {
    if (flag === 'psk-file') return [{ kind: 'presharedFile', path: input }];
    if (flag === 'ca') return [{ kind: 'certificate', authority: input }];
    return flag === 'kerberos' ? [{ kind: 'kerberos' }] : [];
  });
}
