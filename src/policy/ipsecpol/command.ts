import type { Secret } from '../../crypto/secret.js';
import type { IpAddress } from '../../wire/ip/address.js';
import type { MainModeMethod, SecurityMethod } from '../model.js';

/** What an `ipsecpol` command line asks for: help, a script, or one change. */
export type IpsecpolRequest =
  | { readonly kind: 'help'; readonly detail: 'short' | 'extended' }
  /** `-file`: `-` is stdin. */
  | { readonly kind: 'file'; readonly host?: string; readonly path: string }
  | IpsecpolCommand;

/** One `ipsecpol` execution, as written: names not yet resolved, defaults not yet filled in. */
export type IpsecpolCommand = DynamicCommand | StaticCommand;

interface CommandParts {
  /** `\\computername`, without the backslashes; absent is this computer. */
  readonly host?: string;
  /** `-f`; empty when absent. */
  readonly filters: readonly FilterSpec[];
  /** `-n`; empty when absent. */
  readonly negotiation: readonly NegotiationSpec[];
  /** `-t`. */
  readonly tunnel?: HostText;
  /** `-a`; empty when absent. */
  readonly authentication: readonly AuthenticationSpec[];
  /** `-u`: delete all dynamic rules, before anything else is done. */
  readonly deleteDynamic: boolean;
  readonly soft: boolean;
  /** `-dialup` or `-lan`; absent is every adapter. */
  readonly connectionType?: 'dialup' | 'lan';
  /** `-1s`; empty when absent. */
  readonly mainModeMethods: readonly MainModeMethod[];
  /** `-1k`. */
  readonly mainModeRekey?: MainModeRekey;
  /** `-1p`. */
  readonly masterKeyPfs: boolean;
  /** `-1e`, of ipseccmd. */
  readonly softSaSeconds?: number;
}

/** Without `-w`: rules handed to the running agent, gone when it stops. */
export interface DynamicCommand extends CommandParts {
  readonly kind: 'dynamic';
  readonly confirm: boolean;
}

/** With `-w`: a change of a stored policy. */
export interface StaticCommand extends CommandParts {
  readonly kind: 'static';
  readonly store: StoreSpec;
  readonly policyName: string;
  readonly pollIntervalMinutes?: number;
  /** `-r`: one at most, any number with `delete`. */
  readonly ruleNames: readonly string[];
  /** `-x`. */
  readonly assign: boolean;
  /** `-y`. */
  readonly unassign: boolean;
  /** `-o`. */
  readonly delete: boolean;
}

export type StoreSpec =
  | { readonly kind: 'local' }
  | { readonly kind: 'directory'; readonly domain?: string }
  | { readonly kind: 'persistent' };

export type FilterSpec =
  /** The default response rule instead of filters. */
  { readonly kind: 'default' } | TrafficSpec;

export interface TrafficSpec {
  readonly kind: 'traffic';
  /** `(spec)` permits and `[spec]` blocks, whatever `-n` says. */
  readonly action?: 'permit' | 'block';
  readonly source: AddressText;
  readonly destination: AddressText;
  readonly mirrored: boolean;
  /** IP protocol, 0 any. */
  readonly protocol: number;
  /** 0 any. */
  readonly sourcePort: number;
  /** 0 any. */
  readonly destinationPort: number;
}

/** A host as written: an address or a name to resolve. */
export type HostText =
  | { readonly kind: 'host'; readonly address: IpAddress }
  | { readonly kind: 'name'; readonly name: string };

export type AddressText =
  | { readonly kind: 'me' }
  | { readonly kind: 'any' }
  | { readonly kind: 'host'; readonly address: IpAddress }
  /** 1 to 31 leading bits; the address has no bits behind them. */
  | { readonly kind: 'subnet'; readonly address: IpAddress; readonly prefixLength: number }
  /** A DNS name; with `prefixLength`, the subnet its address is in. */
  | { readonly kind: 'name'; readonly name: string; readonly prefixLength?: number };

export type NegotiationSpec =
  | { readonly kind: 'method'; readonly method: SecurityMethod }
  | { readonly kind: 'block' | 'pass' | 'inpass' };

export type AuthenticationSpec =
  | { readonly kind: 'kerberos' }
  | { readonly kind: 'preshared'; readonly key: Secret<string> }
  /** Extension: the key is the first line of a file, so that it does not show in the process list. */
  | { readonly kind: 'presharedFile'; readonly path: string }
  | { readonly kind: 'certificate'; readonly authority: string };

export interface MainModeRekey {
  /** 0 is unlimited. */
  readonly quickModes?: number;
  readonly seconds?: number;
}

/** Whether a static command changes what is in the policy, and not only whether it is there and assigned. */
export function changesPolicy(command: StaticCommand): boolean {
  return (
    !command.delete &&
    (command.filters.length > 0 ||
      command.ruleNames.length > 0 ||
      command.mainModeMethods.length > 0 ||
      command.mainModeRekey !== undefined ||
      command.masterKeyPfs ||
      command.softSaSeconds !== undefined ||
      command.pollIntervalMinutes !== undefined)
  );
}
