/** XFRM policies, the kernel's filters: what must have been done with a packet, or is to be. */
import { WireError } from '../bytes.js';
import { addressBytes, type IpAddress } from '../ip/address.js';
import { decodeLayout, encodeLayout, hostIsLittleEndian, type StructOf } from './layout.js';
import { decodeAttributes, encodePayload, type NetlinkAttribute } from './message.js';
import { addressOf, familyNumber, selectorFields, selectorOf, type XfrmSelector } from './xfrm-selector.js';
import type { XfrmMode } from './xfrm-state.js';
import * as c from './xfrm-structures.js';

export type XfrmDirection = (typeof c.directions)[number];
export type XfrmAction = (typeof c.actions)[number];

/** One SA that a packet goes through. */
export interface XfrmTemplate {
  readonly protocol: number;
  readonly mode: XfrmMode;
  /** The SA's ends in tunnel mode; the unspecified address is any. In transport mode they are the packet's own. */
  readonly source: IpAddress;
  readonly destination: IpAddress;
  /** 0: of any state. */
  readonly requestId: number;
  /** Packets may pass without it. */
  readonly optional: boolean;
}

export interface XfrmPolicy {
  readonly selector: XfrmSelector;
  readonly direction: XfrmDirection;
  readonly action: XfrmAction;
  /** The lowest decides. */
  readonly priority: number;
  readonly templates: readonly XfrmTemplate[];
  /** Outbound: also for ICMP errors of this host about packets that it would take the other way. */
  readonly icmpErrors?: true;
}

export interface XfrmPolicyReport extends XfrmPolicy {
  /** Wall clock; 0 never. */
  readonly usedAtSeconds: number;
}

const noLimits = {
  softBytes: Number.POSITIVE_INFINITY,
  hardBytes: Number.POSITIVE_INFINITY,
  softPackets: Number.POSITIVE_INFINITY,
  hardPackets: Number.POSITIVE_INFINITY,
  softAddSeconds: 0,
  hardAddSeconds: 0,
  softUseSeconds: 0,
  hardUseSeconds: 0,
};
const unused = { bytes: 0, packets: 0, addedAtSeconds: 0, usedAtSeconds: 0 };
/** Which algorithms does not matter: the request id decides. */
const allAlgorithms = 0xffff_ffff;

/** The fixed part of a message that adds or changes a policy. */
export function encodePolicyInfo(policy: XfrmPolicy, littleEndian = hostIsLittleEndian): Uint8Array {
  return encodeLayout(
    c.policyInfo,
    {
      selector: selectorFields(policy.selector),
      limits: noLimits,
      usage: unused,
      priority: policy.priority,
      index: 0,
      direction: c.directions.indexOf(policy.direction),
      action: c.actions.indexOf(policy.action),
      flags: policy.icmpErrors === true ? c.policyFlags.icmp : 0,
      share: 0,
    },
    littleEndian,
  );
}

/** The payload of a message that adds or changes a policy. */
export function encodePolicy(policy: XfrmPolicy, littleEndian = hostIsLittleEndian): Uint8Array {
  const templates = policy.templates.map(one => encodeLayout(c.template, templateFields(one), littleEndian));
  return encodePayload(
    encodePolicyInfo(policy, littleEndian),
    templates.length === 0 ? [] : [{ type: c.xfrmAttributes.templates, value: Buffer.concat(templates) }],
    littleEndian,
  );
}

/** The structure that names a policy in a request. */
export function encodePolicyId(
  { selector, direction }: Pick<XfrmPolicy, 'selector' | 'direction'>,
  littleEndian = hostIsLittleEndian,
): Uint8Array {
  const fields = {
    selector: selectorFields(selector),
    index: 0,
    direction: c.directions.indexOf(direction),
  };
  return encodeLayout(c.policyId, fields, littleEndian);
}

/** Reads what `encodePolicy` writes, and what the kernel tells. Throws `WireError`. */
export function decodePolicy(payload: Uint8Array, littleEndian = hostIsLittleEndian): XfrmPolicyReport {
  const info = decodeLayout(c.policyInfo, payload, littleEndian, 'XFRM policy');
  return policyOf(info, decodeAttributes(payload, c.policyInfo.bytes, littleEndian), littleEndian);
}

export function policyOf(
  info: StructOf<typeof c.policyInfo>,
  attributes: readonly NetlinkAttribute[],
  littleEndian: boolean,
): XfrmPolicyReport {
  const direction = c.directions[info.direction];
  const action = c.actions[info.action];
  if (direction === undefined || action === undefined)
    throw new WireError('unsupported', 0, `XFRM policy of direction ${info.direction}`);
  return {
    selector: selectorOf(info.selector),
    direction,
    action,
    priority: info.priority,
    templates: templatesOf(attributes, littleEndian),
    ...((info.flags & c.policyFlags.icmp) === 0 ? {} : { icmpErrors: true }),
    usedAtSeconds: info.usage.usedAtSeconds,
  };
}

function templateFields(one: XfrmTemplate): StructOf<typeof c.template> {
  return {
    id: { destination: addressBytes(one.destination), spi: 0, protocol: one.protocol },
    // In a tunnel it is that of the outer header, and so it is of what is outside of the tunnel.
    family: familyNumber(one.destination),
    source: addressBytes(one.source),
    requestId: one.requestId,
    mode: c.modes.indexOf(one.mode),
    share: 0,
    optional: one.optional ? 1 : 0,
    authenticationAlgorithms: allAlgorithms,
    encryptionAlgorithms: allAlgorithms,
    compressionAlgorithms: allAlgorithms,
  };
}

export function templatesOf(attributes: readonly NetlinkAttribute[], littleEndian: boolean): XfrmTemplate[] {
  const templates: XfrmTemplate[] = [];
  for (const { type, value } of attributes) {
    if (type !== c.xfrmAttributes.templates) continue;
    for (let at = 0; at < value.length; at += c.template.bytes) {
      const fields = decodeLayout(c.template, value.subarray(at), littleEndian, 'XFRM template');
      const mode = c.modes[fields.mode];
      if (mode === undefined) throw new WireError('unsupported', at, `XFRM mode ${fields.mode}`);
      templates.push({
        protocol: fields.id.protocol,
        mode,
        source: addressOf(fields.source, fields.family),
        destination: addressOf(fields.id.destination, fields.family),
        requestId: fields.requestId,
        optional: fields.optional !== 0,
      });
    }
  }
  return templates;
}
