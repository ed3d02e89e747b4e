import { Secret } from '../../crypto/secret.js';
import type { AuthenticationSpec } from './command.js';
import { ArgumentError, type Piece } from './piece.js';

/** What stands for a key in output. */
export const maskedKey = '…';

/**
 * Parses a `-a` item: `KERBEROS`, `PRESHARE:"key"`, `CERT:"CA name"` (the first letter of each suffices), or the
 * extension `PRESHARE-FILE:path`. Throws `IpseckitError` (USAGE); no message repeats any of the text, since it may
 * be part of a key.
 */
export function parseAuthentication(item: Piece): AuthenticationSpec {
  const colon = item.text.indexOf(':');
  const word = (colon < 0 ? item.text : item.text.slice(0, colon)).toUpperCase();
  const value = colon < 0 ? undefined : unquote(item.text.slice(colon + 1));
  const abbreviates = (keyword: string) => word !== '' && keyword.startsWith(word);
  const fail = (problem: string) => {
    throw new ArgumentError(
      'USAGE',
      `bad ${item.what}`,
      { argument: item.argumentNumber, remark: 'not shown' },
      problem,
      'write KERBEROS, PRESHARE:"key", PRESHARE-FILE:path or CERT:"CA name"; quote it if it has blanks',
    );
  };
  if (abbreviates('KERBEROS'))
    return value === undefined ? { kind: 'kerberos' } : fail('KERBEROS takes no value');
  if (abbreviates('PRESHARE')) {
    if (value === undefined || value === '') return fail('the key is missing behind PRESHARE:');
    if (value === maskedKey) return fail('this is the mask printed instead of a key, not a key');
    return { kind: 'preshared', key: new Secret(value) };
  }
  if (word === 'PRESHARE-FILE') {
    if (value === undefined || value === '') return fail('the path is missing behind PRESHARE-FILE:');
    return { kind: 'presharedFile', path: value };
  }
  if (abbreviates('CERT')) {
    if (value === undefined || value === '') return fail("the CA's name is missing behind CERT:");
    return { kind: 'certificate', authority: value };
  }
  return fail('expected KERBEROS, PRESHARE:, PRESHARE-FILE: or CERT:');
}

/** Canonical text. The key itself appears only with `secrets: 'shown'`: for a round trip, never for output. */
export function printAuthentication(method: AuthenticationSpec, secrets: 'masked' | 'shown'): string {
  switch (method.kind) {
    case 'kerberos':
      return 'KERBEROS';
    case 'preshared':
      return `PRESHARE:"${secrets === 'shown' ? method.key.reveal() : maskedKey}"`;
    case 'presharedFile':
      return `PRESHARE-FILE:"${method.path}"`;
    case 'certificate':
      return `CERT:"${method.authority}"`;
  }
}

function unquote(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
}
