/** What the data of an ID payload means (RFC 2407 4.6.2): addresses, subnets, ranges and names. */
import { toHex, WireError } from '../bytes.js';
import { type DistinguishedName, parseNameDer } from '../der/distinguished-name.js';
import { addressBytes, addressFamily, addressFromBytes, type IpAddress, ipAddress } from '../ip/address.js';
import {
  type AddressRange,
  hostRange,
  maskToPrefix,
  prefixLengthOf,
  printRange,
  subnetRange,
} from '../ip/selector.js';
import { escapeName } from '../printable.js';
import { idTypes, nameOf } from './numbers.js';
import type { IdPayload } from './payloads.js';

type IdContent = Pick<IdPayload, 'idType' | 'data'>;

/** Length of the data by ID type; types that are not listed have any length. */
export const idDataLengths: Readonly<Record<number, number>> = {
  [idTypes.IPV4_ADDR]: 4,
  [idTypes.IPV4_ADDR_SUBNET]: 8,
  [idTypes.IPV4_ADDR_RANGE]: 8,
  [idTypes.IPV6_ADDR]: 16,
  [idTypes.IPV6_ADDR_SUBNET]: 32,
  [idTypes.IPV6_ADDR_RANGE]: 32,
};

/** An ID payload for a host. */
export function addressId(address: IpAddress, protocol = 0, port = 0): IdPayload {
  return rangeId(hostRange(address), protocol, port);
}

/** An ID payload for a range, in its narrowest type: host, else subnet, else range. */
export function rangeId(range: AddressRange, protocol = 0, port = 0): IdPayload {
  const v4 = addressFamily(range.first) === 4;
  const prefixLength = prefixLengthOf(range);
  const id = (idType: number, ...parts: readonly Uint8Array[]): IdPayload => ({
    kind: 'id',
    idType,
    protocol,
    port,
    data: Uint8Array.from(parts.flatMap(part => [...part])),
  });
  const first = addressBytes(range.first);
  if (range.first === range.last) return id(v4 ? idTypes.IPV4_ADDR : idTypes.IPV6_ADDR, first);
  if (prefixLength === undefined)
    return id(v4 ? idTypes.IPV4_ADDR_RANGE : idTypes.IPV6_ADDR_RANGE, first, addressBytes(range.last));
  return id(v4 ? idTypes.IPV4_ADDR_SUBNET : idTypes.IPV6_ADDR_SUBNET, first, maskBytes(prefixLength, v4));
}

/** An ID payload for a host name (`FQDN`) or a name at a host (`USER_FQDN`). */
export function nameId(idType: 2 | 3, name: string, protocol = 0, port = 0): IdPayload {
  return { kind: 'id', idType, protocol, port, data: Uint8Array.from(Buffer.from(name, 'utf8')) };
}

/**
 * The addresses an ID means; `undefined` when it is not of an address type, its data has the wrong length, its mask
 * is not contiguous, or its range runs backwards.
 */
export function rangeOfId({ idType, data }: IdContent): AddressRange | undefined {
  if (data.length !== idDataLengths[idType]) return undefined;
  const half = data.length / 2;
  switch (idType) {
    case idTypes.IPV4_ADDR:
    case idTypes.IPV6_ADDR:
      return hostRange(addressFromBytes(data));
    case idTypes.IPV4_ADDR_SUBNET:
    case idTypes.IPV6_ADDR_SUBNET: {
      const prefixLength = maskToPrefix(addressFromBytes(data.subarray(half)));
      if (prefixLength === undefined) return undefined;
      return subnetRange(addressFromBytes(data.subarray(0, half)), prefixLength);
    }
    default: {
      if (Buffer.compare(data.subarray(0, half), data.subarray(half)) > 0) return undefined;
      return {
        first: addressFromBytes(data.subarray(0, half)),
        last: addressFromBytes(data.subarray(half)),
      };
    }
  }
}

/** The name of an FQDN or USER_FQDN; `undefined` for other types. */
export function nameOfId({ idType, data }: IdContent): string | undefined {
  if (idType !== idTypes.FQDN && idType !== idTypes.USER_FQDN) return undefined;
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8');
}

/** The name of a DER_ASN1_DN; `undefined` for other types and for what is none. */
export function distinguishedNameOfId({ idType, data }: IdContent): DistinguishedName | undefined {
  if (idType !== idTypes.DER_ASN1_DN) return undefined;
  try {
    return parseNameDer(data);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** For people: `192.0.2.0/24`, `gw.example.com`, `C=US, CN=gw`, `KEY_ID 3045…`. Control characters in names are escaped. */
export function printId(id: IdContent): string {
  const range = rangeOfId(id);
  if (range !== undefined) return printRange(range);
  const name = nameOfId(id);
  if (name !== undefined) return escapeName(name);
  const distinguishedName = distinguishedNameOfId(id);
  if (distinguishedName !== undefined) return distinguishedName.text;
  return `${nameOf(idTypes, id.idType)} ${toHex(id.data)}`;
}

function maskBytes(prefixLength: number, v4: boolean): Uint8Array {
  const hostBits = addressBytes(subnetRange(ipAddress(v4 ? '0.0.0.0' : '::'), prefixLength).last);
  return hostBits.map(byte => 0xff - byte);
}
