/** Whether a certificate speaks for the identity a peer claims (ike.md 16, RFC 4945 3.1). */
import { bytesEqual, WireError } from '../../wire/bytes.js';
import { namesEqual, parseNameDer } from '../../wire/der/distinguished-name.js';
import { addressFromBytes } from '../../wire/ip/address.js';
import { nameOfId, printId } from '../../wire/isakmp/identification.js';
import { idTypes } from '../../wire/isakmp/numbers.js';
import type { IdPayload } from '../../wire/isakmp/payloads.js';
import { escapeName } from '../../wire/printable.js';
import type { Certificate } from './certificate.js';
import type { AlternativeName } from './extensions.js';

/**
 * A distinguished name must be the subject (or a directory name among the alternative names), any other identity one
 * of the alternative names. Returns why it is not; `undefined` when it is.
 */
export function identityMismatch(
  { subject, alternativeNames }: Certificate,
  id: Pick<IdPayload, 'idType' | 'data'>,
): string | undefined {
  switch (id.idType) {
    case idTypes.DER_ASN1_DN: {
      if (bytesEqual(id.data, subject.der)) return undefined;
      const claimed = nameOrUndefined(id.data);
      if (claimed === undefined) return 'the identity is no distinguished name';
      const names = [
        subject,
        ...alternativeNames.flatMap(name => (name.kind === 'directory' ? [name.name] : [])),
      ];
      return names.some(name => namesEqual(name, claimed))
        ? undefined
        : `its subject is ${subject.text}, not ${claimed.text}`;
    }
    case idTypes.FQDN:
    case idTypes.USER_FQDN: {
      const kind = id.idType === idTypes.FQDN ? 'dns' : 'email';
      const claimed = nameOfId(id)?.toLowerCase();
      const found = alternativeNames.some(name => name.kind === kind && name.name.toLowerCase() === claimed);
      return found ? undefined : missing(id, alternativeNames);
    }
    case idTypes.IPV4_ADDR:
    case idTypes.IPV6_ADDR: {
      const claimed = addressFromBytes(id.data);
      const found = alternativeNames.some(name => name.kind === 'address' && name.address === claimed);
      return found ? undefined : missing(id, alternativeNames);
    }
    default:
      return `an identity of type ${id.idType} cannot stand in a certificate`;
  }
}

function missing(id: Pick<IdPayload, 'idType' | 'data'>, names: readonly AlternativeName[]): string {
  const known = names.slice(0, 8).map(printAlternativeName).join(', ');
  return `${printId(id)} is not among its alternative names (${known || 'it has none'})`;
}

/** `gw.example.com`, `admin@example.com`, `192.0.2.1`, `CN=…`. */
export function printAlternativeName(name: AlternativeName): string {
  switch (name.kind) {
    case 'address':
      return name.address;
    case 'directory':
      return name.name.text;
    default:
      return escapeName(name.name);
  }
}

function nameOrUndefined(der: Uint8Array) {
  try {
    return parseNameDer(der);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}
