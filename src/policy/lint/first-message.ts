/**
 * First messages that do not fit one packet. IKE runs before there is an agreed way to split messages, and IP
 * fragments of UDP 500 get lost in many firewalls: the negotiation then fails without a word.
 */
import { encryption, type GroupId, group, hash } from '../../crypto/algorithms.js';
import { ipAddress } from '../../wire/ip/address.js';
import { subnetRange } from '../../wire/ip/selector.js';
import { type DataAttribute, shortestNumber, tv } from '../../wire/isakmp/attributes.js';
import { rangeId } from '../../wire/isakmp/identification.js';
import { encodeMessage, type MessageHeader } from '../../wire/isakmp/message.js';
import {
  dois,
  exchangeTypes,
  keyIke,
  lifeTypes,
  phase1Attributes,
  phase2Attributes,
  protocols,
  situations,
} from '../../wire/isakmp/numbers.js';
import type { Payload, Proposal } from '../../wire/isakmp/payloads.js';
import { vendorIds } from '../../wire/isakmp/vendor-ids.js';
import { finding } from '../findings.js';
import {
  type AuthenticationMethod,
  type MainModeMethod,
  policyDefaults,
  type SecurityMethod,
} from '../model.js';
import { type Check, placeOf } from './check.js';

/** What a UDP datagram may carry in an Ethernet packet: MTU less IPv4 and UDP headers. */
export const largestDatagramBytes = 1_500 - 20 - 8;
const largestNonceBytes = 32;
const cookieBytes = 8;

export const firstMessageCheck: Check = {
  name: 'first-message',
  run({ policy, rules }) {
    const { methods, lifetimeSeconds } = policy.keyExchange;
    const negotiating = rules.filter(({ rule }) => rule.action.kind === 'negotiate');
    const ways = Math.max(0, ...negotiating.map(({ rule }) => waysToAuthenticate(rule.authentication)));
    const mainModeBytes = mainModeMessageBytes(methods, lifetimeSeconds, ways);
    const main =
      mainModeBytes > largestDatagramBytes
        ? [
            finding(
              'large-first-message',
              {},
              tooLarge('main mode', methods.length * ways, mainModeBytes),
              fewer,
            ),
          ]
        : [];
    return [
      ...main,
      ...negotiating.flatMap(named => {
        const { action } = named.rule;
        if (action.kind !== 'negotiate') return [];
        const bytes = quickModeMessageBytes(action.methods, methods);
        if (bytes <= largestDatagramBytes) return [];
        return [
          finding(
            'large-first-message',
            placeOf(named),
            tooLarge('quick mode', action.methods.length, bytes),
            fewer,
          ),
        ];
      }),
    ];
  },
};

const fewer = 'offer fewer methods: those that the peers really have, two or three';

function tooLarge(mode: string, methods: number, bytes: number): string {
  return `${mode} starts with a message of ${bytes} bytes (${methods} methods), over the ${largestDatagramBytes} that fit a packet; many firewalls drop the fragments`;
}

/** Main mode offers each method once for every kind of authentication. */
function waysToAuthenticate(authentication: readonly AuthenticationMethod[]): number {
  return new Set(authentication.map(({ kind }) => kind)).size;
}

/** Bytes of main mode message 1 with these methods, each in so many ways to authenticate (RFC 2409 5). */
export function mainModeMessageBytes(
  methods: readonly MainModeMethod[],
  lifetimeSeconds: number,
  ways: number,
): number {
  if (methods.length === 0 || ways === 0) return 0;
  const offered = Array.from({ length: ways }, () => methods).flat();
  const life = lifeAttributes(
    1,
    lifeTypes.seconds,
    lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds,
  );
  const transforms = offered.map((method, i) => ({
    number: i + 1,
    transformId: keyIke,
    attributes: [
      tv(phase1Attributes.encryption, encryption(method.encryption).ikeId ?? 0),
      ...keyLength(phase1Attributes['key length'], method.encryption),
      tv(phase1Attributes.hash, hash(method.hash).ikeId),
      tv(phase1Attributes.group, group(method.group).id),
      tv(phase1Attributes.authentication, 1),
      ...life,
    ],
  }));
  const vendors = [
    vendorIds.natTRfc3947,
    vendorIds.natTDraft03,
    vendorIds.natTDraft02Newline,
    vendorIds.natTDraft02,
    vendorIds.dpd,
  ];
  return messageBytes('Main mode', [
    saPayload([{ number: 1, protocol: protocols.ISAKMP, spi: new Uint8Array(0), transforms }]),
    ...vendors.map(({ bytes }): Payload => ({ kind: 'vid', data: bytes })),
  ]);
}

/**
 * Bytes of quick mode message 1, at most: between subnets, with the longest hash, block and group that main mode may
 * agree on. Methods whose PFS differs from the first one's are not offered.
 */
export function quickModeMessageBytes(
  methods: readonly SecurityMethod[],
  mainModeMethods: readonly MainModeMethod[],
): number {
  const [first] = methods;
  const offered = methods.filter(({ pfs }) => (pfs === undefined) === (first?.pfs === undefined));
  if (offered.every(({ ah, esp }) => ah === undefined && esp === undefined)) return 0;
  const proposals = offered.flatMap((method, i) => proposalsOf(method, i + 1));
  const longest = (bytes: readonly number[]) => Math.max(0, ...bytes);
  const pfsBytes = longest(
    offered.flatMap(({ pfs }) => {
      if (pfs === undefined) return [];
      return pfs.group === undefined
        ? mainModeMethods.map(({ group: id }) => publicValueBytes(id))
        : [publicValueBytes(pfs.group)];
    }),
  );
  const id = rangeId(subnetRange(ipAddress('10.0.0.0'), 8));
  const clear = messageBytes('Quick mode', [
    {
      kind: 'hash',
      data: new Uint8Array(longest(mainModeMethods.map(({ hash: each }) => hash(each).digestBytes))),
    },
    saPayload(proposals),
    { kind: 'nonce', data: new Uint8Array(largestNonceBytes) },
    ...(pfsBytes === 0 ? [] : [{ kind: 'ke', data: new Uint8Array(pfsBytes) } as const]),
    id,
    id,
  ]);
  const blockBytes = longest(mainModeMethods.map(({ encryption: each }) => encryption(each).blockBytes)) || 1;
  const headerBytes = messageBytes('Quick mode', []);
  return headerBytes + Math.ceil((clear - headerBytes) / blockBytes) * blockBytes;
}

function proposalsOf(method: SecurityMethod, number: number): Proposal[] {
  const common = [
    ...(method.pfs === undefined ? [] : [tv(phase2Attributes.group, 0)]),
    tv(phase2Attributes.encapsulation, 0),
    ...(method.extendedSequence ? [tv(phase2Attributes.ESN, 1)] : []),
    ...lifeAttributes(
      2,
      lifeTypes.seconds,
      method.lifetimeSeconds || policyDefaults.quickModeLifetimeSeconds,
    ),
    ...lifeAttributes(
      2,
      lifeTypes.kilobytes,
      method.lifetimeKilobytes || policyDefaults.quickModeLifetimeKilobytes,
    ),
  ];
  const proposal = (protocol: number, own: readonly DataAttribute[]): Proposal => ({
    number,
    protocol,
    spi: new Uint8Array(4),
    transforms: [{ number: 1, transformId: 0, attributes: [...own, ...common] }],
  });
  const { ah, esp } = method;
  const integrity = tv(phase2Attributes.authentication, 0);
  return [
    ...(ah === undefined ? [] : [proposal(protocols.AH, [integrity])]),
    ...(esp === undefined
      ? []
      : [
          proposal(protocols.ESP, [
            ...keyLength(phase2Attributes['key length'], esp.encryption),
            ...(esp.hash === undefined ? [] : [integrity]),
          ]),
        ]),
  ];
}

function publicValueBytes(id: GroupId): number {
  const row = group(id);
  return row.kind === 'modp' ? row.bytes : 2 * row.coordinateBytes;
}

function keyLength(attribute: number, cipher: MainModeMethod['encryption']): DataAttribute[] {
  const { keyLengthBits } = encryption(cipher);
  return keyLengthBits === undefined ? [] : [tv(attribute, keyLengthBits)];
}

function lifeAttributes(phase: 1 | 2, type: number, value: number): DataAttribute[] {
  const attributes = phase === 1 ? phase1Attributes : phase2Attributes;
  return [tv(attributes['life type'], type), shortestNumber(attributes['life duration'], value)];
}

function saPayload(proposals: readonly Proposal[]): Payload {
  return { kind: 'sa', doi: dois.IPSEC, situation: situations['IDENTITY-ONLY'], proposals };
}

function messageBytes(exchange: keyof typeof exchangeTypes, payloads: readonly Payload[]): number {
  const header: MessageHeader = {
    initiatorCookie: new Uint8Array(cookieBytes).fill(1),
    responderCookie: new Uint8Array(cookieBytes),
    exchangeType: exchangeTypes[exchange],
    flags: 0,
    messageId: 0,
  };
  return encodeMessage(header, payloads).length;
}
