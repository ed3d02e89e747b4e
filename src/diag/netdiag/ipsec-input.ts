import type { FilterInfo } from '../../agent/control/protocol.js';
import type { DirectoryStatus } from '../../agent/directory-follower.js';
import type { SoftAssociationInfo } from '../../agent/fallback.js';
import type { DriverStatistics, PairStatistics } from '../../driver/api.js';
import type { IkeStatistics, MainModeInfo, QuickModeInfo } from '../../ike/info.js';
import type { ExemptionLevel } from '../../policy/exemptions.js';
import type { KeyExchangeSettings } from '../../policy/model.js';

/** Everything the IP Security test judges and prints, gathered beforehand. No key material. */
export interface IpsecTestInput {
  readonly nowMs: number;
  readonly agent:
    | { readonly state: 'running' }
    | { readonly state: 'stopped' }
    /** It is there and does not answer us. */
    | { readonly state: 'unreachable'; readonly message: string };
  /** The policy in force. */
  readonly policy?: {
    readonly kind: 'local' | 'directory';
    readonly id: string;
    readonly name: string;
    readonly path: string;
  };
  /** A local policy that is assigned but not in force, because a directory policy is. */
  readonly overridden?: { readonly name: string };
  /** How it is with the directory, where there is one. */
  readonly directory?: DirectoryStatus;
  /** Why the assigned policy cannot be loaded. */
  readonly policyProblem?: string;
  /** What the engine enforces although the stores say otherwise. */
  readonly disagreements: readonly string[];
  readonly keyExchange?: KeyExchangeSettings;
  /** Which default exemptions are lifted. */
  readonly noDefaultExempt?: ExemptionLevel;
  /** Specific filters in matching order. */
  readonly filters: readonly IpsecFilter[];
  readonly mainModes: readonly MainModeInfo[];
  readonly quickModes: readonly QuickModeInfo[];
  readonly pairs: readonly PairStatistics[];
  readonly softAssociations?: readonly SoftAssociationInfo[];
  readonly statistics?: { readonly ike: IkeStatistics; readonly driver: DriverStatistics };
}

/** A filter as the agent shows it. */
export type IpsecFilter = Pick<FilterInfo, 'filter' | 'action' | 'authentication'>;
