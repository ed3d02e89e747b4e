import type { Identity } from '../ike/api.js';
import { parseNameText } from '../wire/der/distinguished-name.js';
import { parseIpAddress } from '../wire/ip/address.js';

/** `CN=gw` is a distinguished name, `@name` or a dotted name an FQDN, `user@host` a user FQDN; or an address. */
export function parseIdentity(spelled: string): Identity {
  const literal = parseIpAddress(spelled);
  if (literal !== undefined) return { kind: 'address', address: literal };
  if (parseNameText(spelled) !== undefined) return { kind: 'distinguishedName', name: spelled };
  if (spelled.startsWith('@')) return { kind: 'fqdn', name: spelled.slice(1) };
  return spelled.includes('@') ? { kind: 'userFqdn', name: spelled } : { kind: 'fqdn', name: spelled };
}
