/**
 * The payloads of ISAKMP, each declared once: its fields in wire order. Reader, writer and dump come from here.
 */
import { toHex, WireError, type WireErrorReason } from '../bytes.js';
import { decodeAttributes, printAttributes, readAttributes } from './attributes.js';
import { attributes, byteStrings, bytes, chain, constant, reserved, u8, u16, u32 } from './field-kinds.js';
import { type Layout, type PrintContext, type Struct, struct } from './fields.js';
import { idDataLengths, printId } from './identification.js';
import {
  certificateEncodings,
  decodeLimits,
  dois,
  idTypes,
  nameOf,
  natPayloadTypes,
  notifyTypes,
  payloadTypes,
  protocols,
  situations,
  transactionTypes,
  transformIds,
} from './numbers.js';
import type {
  AttributesPayload,
  CertPayload,
  CertReqPayload,
  DeletePayload,
  FragmentPayload,
  GssTokenPayload,
  HashPayload,
  IdPayload,
  KePayload,
  NatDPayload,
  NatOaPayload,
  NoncePayload,
  NotifyPayload,
  Payload,
  PayloadKind,
  Proposal,
  SaPayload,
  SigPayload,
  Transform,
  UnknownPayload,
  VidPayload,
} from './payloads.js';
import { printTransactionAttributes } from './transaction.js';
import { recogniseVendorId } from './vendor-ids.js';

const transform = struct<Transform>('TRANSFORM', {
  number: u8(),
  transformId: u8({ names: ({ protocol = 0 }) => transformIds[protocol] ?? {} }),
  reserved: reserved(2),
  attributes: attributes(),
});

const proposal = struct<Proposal>(
  'PROPOSAL',
  {
    number: u8(),
    protocol: u8({ names: protocols }),
    'length of spi': u8(),
    'count of transforms': u8(),
    spi: bytes({ max: decodeLimits.spiBytes }),
    transforms: chain(payloadTypes.TRANSFORM, transform, decodeLimits.transformsPerSa),
  },
  ({ protocol }) => ({ protocol }),
);

/** Payload type to declaration. Unknown types join when they are first met. */
const declarations = new Map<number, Struct<Payload>>();
const typeOfKind = new Map<PayloadKind, number>();

type Fail = (reason: WireErrorReason, what: string) => never;

/** `check` refuses what no single field can. */
function declare<P extends Payload>(
  type: number,
  layout: Layout<P> & { readonly kind: { readonly value: P['kind'] } },
  options: {
    readonly inner?: (payload: P) => PrintContext;
    readonly check?: (payload: P, fail: Fail) => void;
  } = {},
): void {
  const name = payloadName(type);
  const fields = struct<P>(name, layout, options.inner);
  const declared: Struct<P> = {
    ...fields,
    read(reader) {
      const { offset } = reader;
      const payload = fields.read(reader);
      options.check?.(payload, (reason, what) => {
        throw new WireError(reason, offset, `${name}: ${what}`);
      });
      return payload;
    },
  };
  typeOfKind.set(layout.kind.value, type);
  // A payload of another kind under this type number is refused by the constant `kind`, when it is written.
  declarations.set(type, declared as Struct<Payload>);
}

declare<SaPayload>(
  payloadTypes.SA,
  {
    kind: constant('sa'),
    doi: u32({ names: dois, refuse: value => (value === dois.IPSEC ? undefined : 'unsupported') }),
    situation: u32({
      names: situations,
      refuse: value => (value === situations['IDENTITY-ONLY'] ? undefined : 'unsupported'),
    }),
    proposals: chain(payloadTypes.PROPOSAL, proposal, decodeLimits.proposalsPerSa),
  },
  {
    check({ proposals }, fail) {
      const total = proposals.reduce((sum, { transforms }) => sum + transforms.length, 0);
      if (total > decodeLimits.transformsPerSa) fail('too-many', `${total} transforms`);
    },
  },
);

declare<KePayload>(payloadTypes.KE, { kind: constant('ke'), data: bytes({ min: 1 }) });

declare<IdPayload>(
  payloadTypes.ID,
  {
    kind: constant('id'),
    idType: u8({ names: idTypes }),
    protocol: u8(),
    port: u16(),
    data: {
      ...bytes({ min: 1 }),
      print: (data, label, { idType = 0 }) => [`${label} ${printId({ idType, data })}`],
    },
  },
  {
    inner: ({ idType }) => ({ idType }),
    check({ idType, data }, fail) {
      const length = idDataLengths[idType];
      if (length !== undefined && data.length !== length)
        fail('bad-length', `${nameOf(idTypes, idType)} has ${data.length} bytes of data, not ${length}`);
    },
  },
);

declare<CertPayload>(payloadTypes.CERT, {
  kind: constant('cert'),
  encoding: u8({ names: certificateEncodings }),
  data: bytes({ min: 1 }),
});

declare<CertReqPayload>(payloadTypes.CERTREQ, {
  kind: constant('certreq'),
  encoding: u8({ names: certificateEncodings }),
  authority: bytes(),
});

declare<HashPayload>(payloadTypes.HASH, { kind: constant('hash'), data: bytes({ min: 1 }) });

declare<SigPayload>(payloadTypes.SIG, { kind: constant('sig'), data: bytes({ min: 1 }) });

declare<NoncePayload>(payloadTypes.NONCE, { kind: constant('nonce'), data: bytes(decodeLimits.nonceBytes) });

declare<NotifyPayload>(
  payloadTypes.NOTIFY,
  {
    kind: constant('notify'),
    doi: u32({ names: dois }),
    protocol: u8({ names: protocols }),
    'length of spi': u8(),
    notifyType: u16({ names: notifyTypes }),
    spi: bytes({ max: decodeLimits.spiBytes }),
    data: { ...bytes(), print: printNotifyData },
  },
  { inner: ({ protocol, notifyType }) => ({ protocol, notifyType }) },
);

declare<DeletePayload>(payloadTypes.DELETE, {
  kind: constant('delete'),
  doi: u32({ names: dois }),
  protocol: u8({ names: protocols }),
  'length of spis': u8(),
  'count of spis': u16(),
  spis: byteStrings({ maxLength: decodeLimits.spiBytes, maxCount: decodeLimits.deleteSpis }),
});

declare<VidPayload>(payloadTypes.VID, {
  kind: constant('vid'),
  data: { ...bytes(), print: printVendorId },
});

declare<AttributesPayload>(payloadTypes.ATTRIBUTES, {
  kind: constant('attributes'),
  messageType: u8({ names: transactionTypes }),
  reserved: reserved(1),
  identifier: u16(),
  // libreswan rounds this payload, not the message, up to a multiple of 4 bytes.
  attributes: {
    ...attributes(),
    read: reader => readAttributes(reader, { aligned: true }),
    print: printTransactionAttributes,
  },
});

for (const { natD, natOa } of [natPayloadTypes.draft04, natPayloadTypes.draft02, natPayloadTypes.rfc]) {
  declare<NatDPayload>(natD, { kind: constant('nat-d'), type: constant(natD), data: bytes({ min: 1 }) });
  declare<NatOaPayload>(
    natOa,
    {
      kind: constant('nat-oa'),
      type: constant(natOa),
      idType: u8({ names: idTypes }),
      reserved: reserved(3),
      address: bytes(),
    },
    {
      check({ idType, address }, fail) {
        if (idType !== idTypes.IPV4_ADDR && idType !== idTypes.IPV6_ADDR)
          fail('bad-value', `ID type ${idType}`);
        if (address.length !== idDataLengths[idType])
          fail('bad-length', `${address.length} bytes of address`);
      },
    },
  );
}

declare<GssTokenPayload>(payloadTypes['GSS-TOKEN'], { kind: constant('gss-token'), data: bytes({ min: 1 }) });

declare<FragmentPayload>(payloadTypes.FRAGMENT, {
  kind: constant('fragment'),
  fragmentId: u16(),
  number: u8(),
  flags: u8({ names: { LAST: 1 } }),
  data: bytes({ min: 1 }),
});

/** The declaration of a payload type; of an unknown one: bytes. */
export function declarationOf(type: number): Struct<Payload> {
  const declared = declarations.get(type);
  if (declared !== undefined) return declared;
  declare<UnknownPayload>(type, { kind: constant('unknown'), type: constant(type), data: bytes() });
  return declarationOf(type);
}

/** `KE`, `NAT-D-02`, `PAYLOAD-133`. */
function payloadName(type: number): string {
  const name = nameOf(payloadTypes, type);
  return name === String(type) ? `PAYLOAD-${type}` : name;
}

/** The payload's type number. */
export function payloadType(payload: Payload): number {
  if ('type' in payload) return payload.type;
  return typeOfKind.get(payload.kind) ?? payloadTypes.NONE;
}

function printNotifyData(data: Uint8Array, label: string, { notifyType, protocol }: PrintContext): string[] {
  if (data.length === 0) return [];
  if (notifyType === notifyTypes['RESPONDER-LIFETIME']) {
    try {
      return printAttributes(decodeAttributes(data), protocol);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }
  return [`${label} ${toHex(data)}`];
}

function printVendorId(data: Uint8Array, label: string): string[] {
  const known = recogniseVendorId(data);
  return [`${label} ${toHex(data)}${known === undefined ? '' : ` (${known.name})`}`];
}
