/** The messages of `NETLINK_XFRM`: requests to the kernel's IPsec, its answers and its events (`linux/xfrm.h`). */
import { WireError } from '../bytes.js';
import type { IpAddress } from '../ip/address.js';
import { decodeLayout, encodeLayout, hostIsLittleEndian } from './layout.js';
import {
  decodeAttributes,
  decodeNetlink,
  encodeNetlink,
  type NetlinkMessage,
  netlinkErrno,
  netlinkFlags,
  netlinkTypes,
} from './message.js';
import type { XfrmPolicy, XfrmPolicyReport } from './xfrm-policy.js';
import { decodePolicy, encodePolicy, encodePolicyId, policyOf } from './xfrm-policy.js';
import { addressOf, familyNumber, selectorOf, type XfrmSelector } from './xfrm-selector.js';
import type { XfrmMode, XfrmState, XfrmStateId, XfrmStateReport } from './xfrm-state.js';
import {
  decodeState,
  encodeState,
  encodeStateId,
  stateInfoFields,
  stateOf,
  unlimited,
} from './xfrm-state.js';
import * as c from './xfrm-structures.js';

/** The state that the kernel wants for a packet. */
export interface XfrmAcquire {
  /** Of the state wanted: its SPI is not known yet. */
  readonly destination: IpAddress;
  readonly source: IpAddress;
  readonly protocol: number;
  /** The packet. */
  readonly packet: XfrmSelector;
  /** The policy that it met. */
  readonly policy: XfrmPolicy;
  readonly sequence: number;
}

/** What the kernel says. */
export type XfrmMessage =
  | { readonly kind: 'state'; readonly state: XfrmStateReport }
  | { readonly kind: 'policy'; readonly policy: XfrmPolicyReport }
  | { readonly kind: 'acquire'; readonly acquire: XfrmAcquire }
  | { readonly kind: 'expire'; readonly state: XfrmStateReport; readonly hard: boolean }
  /** Packets of an inbound state come from another UDP address. */
  | {
      readonly kind: 'mapping';
      readonly id: XfrmStateId;
      readonly source: IpAddress;
      readonly sourcePort: number;
    }
  /** `errno` 0 acknowledges. */
  | { readonly kind: 'result'; readonly sequence: number; readonly errno: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'other'; readonly type: number };

/** A request without its sequence number. */
export interface XfrmRequest {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

const { request, acknowledge, dump } = netlinkFlags;
const types = c.xfrmTypes;

/** Each request is answered with a result, those that ask for something with that before it. */
export const xfrmRequests = {
  addState: (state: XfrmState) => acknowledged(types.newState, encodeState(state)),
  /** Changes ports of encapsulation and limits. */
  updateState: (state: XfrmState) => acknowledged(types.updateState, encodeState(state)),
  deleteState: (id: XfrmStateId) => acknowledged(types.deleteState, encodeStateId(id)),
  getState: (id: XfrmStateId) => acknowledged(types.getState, encodeStateId(id)),
  listStates: () => ({ type: types.getState, flags: request | dump, payload: new Uint8Array(0) }),
  /** Gives the state that the kernel made with an acquire an SPI, by which it can be deleted. */
  allocateSpi: (acquire: XfrmAcquire, mode: XfrmMode, spi: number) =>
    acknowledged(types.allocateSpi, encodeSpiRequest(acquire, mode, spi)),
  /** Adds a policy; one with the same selector and direction is replaced. */
  putPolicy: (policy: XfrmPolicy) => acknowledged(types.updatePolicy, encodePolicy(policy)),
  deletePolicy: (policy: Pick<XfrmPolicy, 'selector' | 'direction'>) =>
    acknowledged(types.deletePolicy, encodePolicyId(policy)),
  getPolicy: (policy: Pick<XfrmPolicy, 'selector' | 'direction'>) =>
    acknowledged(types.getPolicy, encodePolicyId(policy)),
  listPolicies: () => ({ type: types.getPolicy, flags: request | dump, payload: new Uint8Array(0) }),
} as const satisfies Record<string, (...args: never[]) => XfrmRequest>;

function acknowledged(type: number, payload: Uint8Array): XfrmRequest {
  return { type, flags: request | acknowledge, payload };
}

/** The bytes of several requests, numbered from `firstSequence`. */
export function encodeRequests(requests: readonly XfrmRequest[], firstSequence: number): Uint8Array {
  return Buffer.concat(
    requests.map((one, index) => encodeNetlink({ ...one, sequence: firstSequence + index })),
  );
}

/**
 * Everything in a run of bytes that the kernel sent. What others have that we do not (policies of sockets, other modes) is
 * `other`. Throws `WireError` for what is cut.
 */
export function decodeXfrm(bytes: Uint8Array, littleEndian = hostIsLittleEndian): XfrmMessage[] {
  return decodeNetlink(bytes, littleEndian).map(message => {
    try {
      return decodeMessage(message, littleEndian);
    } catch (error) {
      if (error instanceof WireError && error.reason === 'unsupported')
        return { kind: 'other', type: message.type };
      throw error;
    }
  });
}

function decodeMessage(message: NetlinkMessage, little: boolean): XfrmMessage {
  const { type, sequence, payload } = message;
  switch (type) {
    case netlinkTypes.error:
      return { kind: 'result', sequence, errno: netlinkErrno(message, little) };
    case netlinkTypes.done:
      return { kind: 'done' };
    case types.newState:
      return { kind: 'state', state: decodeState(payload, little) };
    case types.newPolicy:
      return { kind: 'policy', policy: decodePolicy(payload, little) };
    case types.acquire:
      return { kind: 'acquire', acquire: decodeAcquire(payload, little) };
    case types.expire: {
      const { state, hard } = decodeLayout(c.expiry, payload, little, 'XFRM expiry');
      return { kind: 'expire', state: stateOf(state, [], little), hard: hard !== 0 };
    }
    case types.mapping: {
      const fields = decodeLayout(c.mappingChange, payload, little, 'XFRM mapping');
      const { destination, spi, protocol, family } = fields.id;
      return {
        kind: 'mapping',
        id: { destination: addressOf(destination, family), spi, protocol },
        source: addressOf(fields.newSource, family),
        sourcePort: fields.newSourcePort,
      };
    }
    default:
      return { kind: 'other', type };
  }
}

function decodeAcquire(payload: Uint8Array, little: boolean): XfrmAcquire {
  const fields = decodeLayout(c.acquisition, payload, little, 'XFRM acquire');
  const attributes = decodeAttributes(payload, c.acquisition.bytes, little);
  const policy = policyOf(fields.policy, attributes, little);
  // The ends are of the template's family, which in tunnel mode need not be the packet's.
  const [template] = policy.templates;
  const family = template?.mode === 'tunnel' ? familyNumber(template.destination) : fields.selector.family;
  return {
    destination: addressOf(fields.id.destination, family),
    source: addressOf(fields.source, family),
    protocol: fields.id.protocol,
    packet: selectorOf(fields.selector),
    policy,
    sequence: fields.sequence,
  };
}

function encodeSpiRequest(acquire: XfrmAcquire, mode: XfrmMode, spi: number): Uint8Array {
  const state = stateInfoFields({
    id: { destination: acquire.destination, spi: 0, protocol: acquire.protocol },
    source: acquire.source,
    mode,
    requestId: acquire.policy.templates[0]?.requestId ?? 0,
    selector: acquire.packet,
    limits: unlimited,
    sequence: acquire.sequence,
    flags: 0,
  });
  return encodeLayout(c.spiRequest, { state, minimum: spi, maximum: spi }, hostIsLittleEndian);
}
