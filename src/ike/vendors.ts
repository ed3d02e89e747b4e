/** What a peer's vendor IDs say about it, and which ones we send (ike.md 13). */
import { ByteWriter } from '../wire/bytes.js';
import type { VidPayload } from '../wire/isakmp/payloads.js';
import {
  recogniseVendorId,
  type VendorIdKey,
  vendorIds,
  windowsVersionOf,
  windowsVersions,
} from '../wire/isakmp/vendor-ids.js';
import type { IkeOptions, MainModePolicy } from './api.js';

export interface PeerVendors {
  /** Names for people, in the order received. */
  readonly names: readonly string[];
  readonly keys: ReadonlySet<VendorIdKey>;
  /** Windows, and which: its notifies, deletes and fourth quick mode message follow [MS-IKEE]. */
  readonly windowsVersion?: number;
}

export const noVendors: PeerVendors = { names: [], keys: new Set() };

/** Reads the vendor IDs of a message. */
export function readVendors(payloads: readonly VidPayload[]): PeerVendors {
  const names: string[] = [];
  const keys = new Set<VendorIdKey>();
  let windowsVersion: number | undefined;
  for (const { data } of payloads) {
    const known = recogniseVendorId(data);
    if (known === undefined) continue;
    keys.add(known.key);
    const version = windowsVersionOf(data);
    if (version !== undefined) windowsVersion = version;
    names.push(version === undefined ? known.name : `${known.name} (${windowsVersions[version] ?? version})`);
  }
  return { names, keys, ...(windowsVersion === undefined ? {} : { windowsVersion }) };
}

/** The revision of NAT traversal both sides speak. */
export function natRevision(policy: MainModePolicy, vendors: PeerVendors): 'rfc' | 'draft02' | undefined {
  if (policy.natTraversal === 'off') return undefined;
  if (vendors.keys.has('natTRfc3947')) return 'rfc';
  const drafts = ['natTDraft02Newline', 'natTDraft02', 'natTDraft03'] as const;
  return drafts.some(key => vendors.keys.has(key)) ? 'draft02' : undefined;
}

const windowsServer2003 = new ByteWriter().bytes(vendorIds.msNt5.bytes).u32(4).finish();

/** Gateways name the networks behind them only to clients that say so. */
const ciscoUnity = new ByteWriter().bytes(vendorIds.ciscoUnity.bytes).u16(0x0100).finish();

/** The vendor IDs we send in main mode 1 or 2, in order. */
export function ownVendors(
  profile: IkeOptions['vendorProfile'],
  policy: MainModePolicy,
  firstContactAsInitiator: boolean,
): VidPayload[] {
  const natT = (...keys: VendorIdKey[]) =>
    policy.natTraversal === 'off' ? [] : keys.map(key => vendorIds[key].bytes);
  const list =
    profile === 'windows-2003'
      ? [
          windowsServer2003,
          vendorIds.fragmentation.bytes,
          ...natT('natTDraft02Newline', 'natTRfc3947'),
          ...(firstContactAsInitiator ? [vendorIds.initialContact.bytes] : []),
        ]
      : [
          vendorIds.ipseckit.bytes,
          ...natT('natTRfc3947', 'natTDraft03', 'natTDraft02Newline', 'natTDraft02'),
          vendorIds.dpd.bytes,
          vendorIds.fragmentation.bytes,
        ];
  const client = [
    ...(policy.xauth === undefined ? [] : [vendorIds.xauth.bytes]),
    ...(policy.modeConfig === undefined ? [] : [ciscoUnity]),
  ];
  return [...list, ...client].map(data => ({ kind: 'vid', data }));
}
