/**
 * The control socket's language: one JSON object a line. A request is `{"id":1,"method":"status","params":{}}`;
 * the answer is `{"id":1,"result":…}` or `{"id":1,"error":{code,message,next}}`. A long call may first send
 * `{"id":1,"step":…}` lines, and a long list comes in parts: `{"id":1,"part":[…]}` lines, the result being the rest of it. A call
 * may also ask the user something, `{"id":1,"prompt":…}`; the client says `{"prompt":ID,"answers":{…}}`, without answers when
 * nobody is there. This table is the contract of server, client and tests.
 */
import type { DriverFilter, DriverStatistics, PairStatistics } from '../../driver/api.js';
import type { NegotiationFailure, NegotiationStep, PromptField, UserPrompt } from '../../ike/api.js';
import type { IkeStatistics, MainModeInfo, QuickModeInfo } from '../../ike/info.js';
import type { ExemptionLevel } from '../../policy/exemptions.js';
import type { FilterAction, KeyExchangeSettings } from '../../policy/model.js';
import type { DirectoryStatus } from '../directory-follower.js';
import type { DropTrace } from '../drop-trace.js';
import type { SoftAssociationInfo } from '../fallback.js';
import type { PolicyPlan } from '../plan.js';
import type { TunnelInfo } from '../tunnel.js';
import type { KeysDocument } from './keys-document.js';

export interface ControlMethods {
  readonly status: { readonly params: NoParams; readonly result: AgentStatus };
  readonly filters: { readonly params: NoParams; readonly result: readonly FilterInfo[] };
  readonly associations: { readonly params: NoParams; readonly result: Associations };
  readonly statistics: {
    readonly params: NoParams;
    readonly result: { readonly ike: IkeStatistics; readonly driver: DriverStatistics };
  };
  readonly drops: { readonly params: NoParams; readonly result: DropTrace };
  /** Reads the local store again now; with `directory`, the directory too. */
  readonly reload: {
    readonly params: { readonly directory?: boolean };
    readonly result: { readonly assigned?: string };
  };
  /**
   * What assigning a policy would change, without doing it: the stored one of this `name`, or the one in `policy` (a
   * document, as for `addDynamic`); with neither, the one that is assigned in the store.
   */
  readonly plan: {
    readonly params: { readonly name?: string; readonly policy?: unknown };
    readonly result: PolicyPlan;
  };
  /** `policy` is a policy document of the local store; its rules stay until the agent stops or `clearDynamic`. */
  readonly addDynamic: {
    readonly params: { readonly policy: unknown };
    readonly result: { readonly rules: number };
  };
  /**
   * Several changes of the dynamic rules as one: first all there are go when `clear` is true, then the rules of
   * `policies` (documents, as for `addDynamic`) are added. Either all of it is done or nothing.
   */
  readonly changeDynamic: {
    readonly params: { readonly clear: boolean; readonly policies: readonly unknown[] };
    readonly result: { readonly removed: number; readonly rules: number };
  };
  readonly clearDynamic: { readonly params: NoParams; readonly result: { readonly removed: number } };
  /**
   * `tunnel` is a tunnel document (`tunnel.ts`). Sends steps; fails with the `NegotiationFailure` in `failure`, and when the
   * client closes the connection first.
   */
  readonly tunnelUp: {
    readonly params: { readonly tunnel: unknown; readonly timeoutMs?: number };
    readonly result: TunnelInfo;
  };
  readonly tunnelList: { readonly params: NoParams; readonly result: readonly TunnelInfo[] };
  readonly tunnelDown: { readonly params: { readonly name: string }; readonly result: TunnelInfo };
  /**
   * Sends key material as `keys` lines, at once of what is alive and then of what is negotiated, until the client closes
   * the connection. Whoever reads it can decrypt the traffic; nothing is kept.
   */
  readonly watchKeys: { readonly params: NoParams; readonly result: Record<string, never> };
  readonly stop: { readonly params: NoParams; readonly result: Record<string, never> };
}

export type ControlMethod = keyof ControlMethods;
export type NoParams = Record<string, never>;

export interface AgentStatus {
  readonly processId: number;
  /** It does not enforce everything yet: the driver opens, or the policy is being read. */
  readonly starting: boolean;
  readonly version: string;
  readonly startedAtMs: number;
  readonly driver: 'userspace' | 'xfrm' | 'memory';
  /** Why this engine was chosen. */
  readonly driverReason: string;
  /** The policy in force. */
  readonly assigned?: {
    readonly id: string;
    readonly name: string;
    readonly kind: 'local' | 'directory';
    readonly path: string;
  };
  /** The local policy that is assigned and gives way to the directory's. */
  readonly overridden?: { readonly id: string; readonly name: string };
  /** How it is with the directory, where there is one. */
  readonly directory?: DirectoryStatus;
  /** Set when the assigned policy cannot be loaded; what was in force before stays. */
  readonly policyError?: string;
  readonly keyExchange?: KeyExchangeSettings;
  readonly dynamicRules: number;
  readonly tunnels: number;
  readonly filters: number;
  readonly mainModes: number;
  readonly quickModes: number;
  readonly softAssociations: number;
  /** Which default exemptions are lifted. */
  readonly noDefaultExempt: ExemptionLevel;
  readonly auditFile: string;
}

/** A specific filter as shown: no key material. */
export interface FilterInfo {
  readonly filter: DriverFilter;
  readonly weight: number;
  readonly origin: 'assigned' | 'dynamic' | 'tunnel';
  readonly policyName: string;
  readonly ruleName?: string;
  /** The filter as written, as a filter spec. */
  readonly written?: string;
  readonly action: FilterAction;
  /** `preshared`, `kerberos` or `certificate: CA`. */
  readonly authentication: readonly string[];
  /** Packets that met it, where the driver can tell. */
  readonly packets?: number;
}

export interface Associations {
  readonly mainModes: readonly MainModeInfo[];
  readonly quickModes: readonly QuickModeInfo[];
  readonly pairs: readonly PairStatistics[];
  /** What passes in clear because its peer does not answer IKE. */
  readonly softAssociations: readonly SoftAssociationInfo[];
}

export interface ControlRequest {
  readonly id: number;
  readonly method: string;
  readonly params?: unknown;
}

/** What the user says to a prompt. */
export interface ControlAnswer {
  readonly prompt: UserPrompt['id'];
  readonly answers?: Readonly<Partial<Record<PromptField, string>>>;
}

export type ControlReply =
  | { readonly id: number; readonly step: NegotiationStep }
  | { readonly id: number; readonly keys: KeysDocument }
  | { readonly id: number; readonly prompt: UserPrompt }
  | { readonly id: number; readonly part: readonly unknown[] }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ControlError };

export interface ControlError {
  readonly code: string;
  readonly message: string;
  readonly next?: string;
  /** For a negotiation that failed. */
  readonly failure?: NegotiationFailure;
}

/** Items of a list that go on one line: a hundred thousand filters are more than a line may hold. */
export const itemsPerLine = 2_000;

/** Longest line either side accepts, in bytes. */
export const longestLineBytes = 32 * 1024 * 1024;
