/** `ipsecData` of an ipsecNFA object, a rule (`policy-store.md` 4.4), with the sections that XP and later append. */
import { type ByteReader, ByteWriter, bytesEqual } from '../../../wire/bytes.js';
import type { IpAddress } from '../../../wire/ip/address.js';
import type { Guid } from '../../model.js';
import {
  encodeField,
  flag32,
  guid,
  ipv4,
  ipv6,
  list,
  storedGuid,
  struct,
  text,
  u32,
  type Values,
} from './fields.js';
import { type Blob, closeFrame, openFrame } from './frame.js';

const method = {
  /** A number of `authenticationTypes`. */
  type: u32,
  /** The key, or the CA's name. */
  value: text,
};

export type AuthenticationData = Values<typeof method>;

const base = struct({
  authentication: list(struct(method)),
  /** A number of `interfaceTypes`. */
  interfaceType: u32,
  interfaceName: text,
  tunnelAddress: ipv4,
  isTunnel: flag32,
  isActive: flag32,
  tunnelName: text,
});

export type NfaData = Values<{ base: typeof base }>['base'] & {
  /** For each authentication method, bits of `certificateFlags`; absent without extension sections. */
  readonly certificateFlags?: readonly number[];
  /** Supersedes `tunnelAddress` (Vista and later). */
  readonly tunnelAddressIpv6?: IpAddress;
};

export const authenticationTypes = { preshared: 1, certificate: 3, kerberos: 5 } as const;
export const interfaceTypes = { all: 0xffff_fffd, lan: 0xffff_fffe, dialup: 0xffff_ffff } as const;
export const certificateFlags = { certificateToAccount: 1, excludeCaName: 2 } as const;

const type = '{11BBAC00-498D-11D1-8639-00A0248D3021}' as Guid;
const what = 'ipsecNFA';

/** Each section begins with sixteen bytes of 1, the last of which counts the sections. */
const sectionGuid = (section: 1 | 2 | 3) =>
  `{01010101-0101-0101-0101-0101010101${String(section).padStart(2, '0')}}` as Guid;

/** The methods once more, without their closing NUL for Kerberos. */
const repeated = list(struct({ type: u32, value: text }));
const flags = list(u32);

export const nfaData: Blob<NfaData> = {
  decode: bytes => {
    const reader = openFrame(bytes, type, what);
    const value = base.read(reader, what);
    if (!skipSection(bytes, reader, 1)) return value;
    repeated.read(reader, `${what}: repeated authentication methods`);
    const certificateFlags = skipSection(bytes, reader, 2)
      ? flags.read(reader, `${what}: certificate options`)
      : undefined;
    const tunnelAddressIpv6 = skipSection(bytes, reader, 3)
      ? ipv6.read(reader, `${what}: IPv6 tunnel address`)
      : undefined;
    return {
      ...value,
      ...(certificateFlags === undefined ? {} : { certificateFlags }),
      ...(tunnelAddressIpv6 === undefined ? {} : { tunnelAddressIpv6 }),
    };
  },
  encode: ({ certificateFlags, tunnelAddressIpv6, ...value }) => {
    const extended = certificateFlags !== undefined || tunnelAddressIpv6 !== undefined;
    return closeFrame(type, encodeField(base, value), {
      ...(extended ? { extension: extension({ ...value, certificateFlags, tunnelAddressIpv6 }) } : {}),
    });
  },
};

function extension(value: {
  readonly authentication: readonly AuthenticationData[];
  readonly certificateFlags: readonly number[] | undefined;
  readonly tunnelAddressIpv6: IpAddress | undefined;
}): Uint8Array {
  const writer = new ByteWriter();
  guid.write(writer, sectionGuid(1));
  u32.write(writer, value.authentication.length);
  for (const each of value.authentication) {
    if (each.value !== '') struct(method).write(writer, each);
    else {
      u32.write(writer, each.type);
      u32.write(writer, 0);
    }
  }
  guid.write(writer, sectionGuid(2));
  flags.write(writer, value.certificateFlags ?? value.authentication.map(() => 0));
  if (value.tunnelAddressIpv6 !== undefined) {
    guid.write(writer, sectionGuid(3));
    ipv6.write(writer, value.tunnelAddressIpv6);
  }
  return writer.finish();
}

/** Whether this section comes next; its mark is then behind the reader. */
function skipSection(whole: Uint8Array, reader: ByteReader, section: 1 | 2 | 3): boolean {
  const mark = storedGuid(sectionGuid(section));
  if (!bytesEqual(whole.subarray(reader.offset, reader.offset + mark.length), mark)) return false;
  reader.bytes(mark.length, what);
  return true;
}
