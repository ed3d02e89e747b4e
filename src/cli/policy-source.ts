/** Policies by name or from a file, and what checking and explaining them takes to know of this computer. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { Flags } from '@oclif/core';
import { localAddresses } from '../agent/local-addresses.js';
import { readServers } from '../agent/servers.js';
import { readSettings } from '../agent/settings.js';
import { policyNotFound, sameName } from '../policy/build.js';
import type { ExemptionLevel } from '../policy/exemptions.js';
import type { LocalAddress } from '../policy/expand.js';
import type { LintContext, ShellConnection } from '../policy/lint/check.js';
import type { Policy } from '../policy/model.js';
import { errnoOf, fileError } from '../policy/stores/file-error.js';
import { StoreFormatError } from '../policy/stores/format-error.js';
import { detectFormat, parseStoreFile, type StoreFormat } from '../policy/stores/formats.js';
import { ipseckitHome } from '../policy/stores/home.js';
import { IpseckitError } from '../report/errors.js';
import { type IpAddress, ipAddress, ipv4Number, parseIpAddress } from '../wire/ip/address.js';
import { ipv4FromNumber } from '../wire/ip/packet.js';
import { localStore } from './local-store.js';

const exemptionLevels: Readonly<Record<string, ExemptionLevel>> = { 0: 0, 1: 1, 2: 2, 3: 3 };

/** Flags of commands that look at a policy from the side of a computer. */
export const computerFlags = {
  local: Flags.string({
    summary: "an address of the computer the policy is for; this one's addresses when left out",
    helpValue: 'ADDRESS',
    multiple: true,
    multipleNonGreedy: true,
  }),
  'no-default-exempt': Flags.custom<ExemptionLevel>({
    summary: 'which default exemptions are lifted; as the agent has it when left out',
    options: ['0', '1', '2', '3'],
    helpValue: 'N',
    parse: async text => exemptionLevels[text],
  })(),
} as const;

export const policyFileFlag = Flags.string({
  summary: 'the policy in this file (.json or .reg) instead of a stored one; named, where there are several',
  helpValue: 'FILE',
});

/** The policy a command is about: in a file, stored under a name, or the assigned one. Throws `IpseckitError`. */
export async function readPolicy(name: string | undefined, file: string | undefined): Promise<Policy> {
  if (file !== undefined) {
    return policyInFile(file, name);
  }
  const store = localStore();
  const policy = name === undefined ? await store.assigned() : await store.read(name);
  if (policy !== undefined) return policy;
  if (name !== undefined) throw policyNotFound(name);
  throw new IpseckitError('STORE', 'no policy is assigned', {
    next: 'name a policy; "ipseckit policy list" shows those there are',
  });
}

/** A policy by its name, or by a file: a word with a slash, or that ends in `.json` or `.reg`. */
export function readPolicyOrFile(word: string): Promise<Policy> {
  return word.includes('/') || /\.(json|reg)$/i.test(word)
    ? Promise.resolve(policyInFile(word))
    : readPolicy(word, undefined);
}

/**
 * The policy of this name in a file, or the only one there. Throws `IpseckitError`: USAGE when there is no file or no
 * telling which policy is meant, STORE for its content.
 */
export function policyInFile(path: string, name?: string): Policy {
  const bytes = readBytes(path);
  try {
    const { policies } = parseStoreFile(bytes, storeFormatOf(path, bytes)).collection;
    if (name !== undefined) {
      const found = policies.find(each => sameName(each.name, name));
      if (found === undefined) throw policyNotFound(name);
      return found;
    }
    const [policy, ...others] = policies;
    if (policy !== undefined && others.length === 0) return policy;
    throw new IpseckitError(
      'USAGE',
      `${path}: there are ${others.length + (policy ? 1 : 0)} policies in it`,
      {
        next: 'name one of them; "ipseckit policy list --store FILE" shows them',
      },
    );
  } catch (error) {
    if (!(error instanceof StoreFormatError)) throw error;
    throw new IpseckitError('STORE', `${path}: ${error.message}`, {
      next: 'repair the file or export it anew',
      cause: error,
    });
  }
}

/** How a file of policies is written. Throws `IpseckitError` (USAGE) when nothing says so. */
export function storeFormatOf(path: string, bytes: Uint8Array): StoreFormat {
  const format = detectFormat(path, bytes);
  if (format === 'json' || format === 'reg') return format;
  throw new IpseckitError('USAGE', `${path}: neither its name nor its content says that it is JSON or .reg`, {
    next: 'give it an ending, .json or .reg',
  });
}

/** A file's bytes. Throws `IpseckitError` (USAGE, ACCESS_DENIED, STORE) naming it. */
export function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ENOENT' && code !== 'EISDIR') throw fileError('read', path, error);
    throw new IpseckitError('USAGE', code === 'ENOENT' ? `there is no file ${path}` : `${path} is a folder`, {
      next: 'check the name',
      cause: error,
    });
  }
}

export interface ComputerFlags {
  readonly local?: readonly string[] | undefined;
  readonly 'no-default-exempt'?: ExemptionLevel | undefined;
}

/** The computer the flags describe, this one where they say nothing. Throws `IpseckitError` (USAGE). */
export function computerOf(flags: ComputerFlags): LintContext & {
  readonly addresses: readonly IpAddress[];
  readonly dialupAddresses: readonly IpAddress[];
} {
  const { local = [] } = flags;
  const isThis = local.length === 0;
  const found: readonly LocalAddress[] = isThis
    ? localAddresses()
    : local.map(text => ({ address: addressOf(text) }));
  const noDefaultExempt = flags['no-default-exempt'] ?? readSettings(ipseckitHome()).noDefaultExempt;
  return {
    localAddresses: found,
    addresses: found.map(({ address }) => address),
    dialupAddresses: found
      .filter(({ connectionType }) => connectionType === 'dialup')
      .map(({ address }) => address),
    broadcastAddresses: isThis ? broadcastAddresses() : [],
    ...(isThis ? { servers: readServers() } : {}),
    ...(noDefaultExempt === undefined ? {} : { noDefaultExempt }),
  };
}

function addressOf(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined)
    throw new IpseckitError('USAGE', `--local: '${text}' is no IP address`, { next: 'write an address' });
  return address;
}

function broadcastAddresses(): IpAddress[] {
  return Object.values(networkInterfaces())
    .flatMap(entries => entries ?? [])
    .filter(
      ({ family, internal, netmask }) => family === 'IPv4' && !internal && netmask !== '255.255.255.255',
    )
    .map(({ address, netmask }) =>
      ipv4FromNumber((ipv4Number(ipAddress(address)) | ~ipv4Number(ipAddress(netmask))) >>> 0),
    );
}

/** The connection of a remote shell, as sshd says it in `SSH_CONNECTION`; `undefined` without one. */
export function shellConnection(variable: string | undefined): ShellConnection | undefined {
  const [clientText = '', clientPort, serverText = '', serverPort] = variable?.split(' ') ?? [];
  const [client, server] = [parseIpAddress(clientText), parseIpAddress(serverText)];
  if (client === undefined || server === undefined) return undefined;
  return { client, clientPort: Number(clientPort), server, serverPort: Number(serverPort) };
}
