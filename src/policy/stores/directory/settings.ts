/** Which directory holds the policies of this computer, and how to ask it: `directory` in `settings.json`. */
import { type Decoder, flag, integer, object, optional, parsed, SchemaError, text } from '../../schema.js';

export interface DirectorySettings {
  /** `ldap://dc.example.com`, or `ldaps://…`. */
  readonly url: string;
  /** The domain: `DC=example,DC=com`. */
  readonly base: string;
  /** The group policy object whose pointer says which policy is assigned: its GUID in braces, or its DN. */
  readonly gpo?: string;
  /** Instead of `gpo`, where there is none: the assigned policy itself, by its name or DN. */
  readonly policy?: string;
  /** Who to be, with the password in the first line of a file only its owner may read; anonymous without. */
  readonly bindDn?: string;
  readonly passwordFile?: string;
  /** Encrypt an `ldap://` connection before anything is said on it. */
  readonly startTls?: boolean;
  /** The CAs to trust for TLS, PEM; the system's when absent. */
  readonly caFile?: string;
  /** How often to look which policy is assigned; 90 when absent, as Windows refreshes group policy. */
  readonly refreshMinutes?: number;
}

export const defaultRefreshMinutes = 90;

const fields = object({
  url: parsed('an ldap:// or ldaps:// address', word => (isLdapUrl(word) ? word : undefined)),
  base: text,
  gpo: optional(text),
  policy: optional(text),
  bindDn: optional(text),
  passwordFile: optional(text),
  startTls: optional(flag),
  caFile: optional(text),
  refreshMinutes: optional(integer(1, 44_640)),
});

export const directorySettings: Decoder<DirectorySettings> = (value, path) => {
  const settings = fields(value, path);
  if ((settings.gpo === undefined) === (settings.policy === undefined))
    throw new SchemaError(path, 'expected either gpo or policy: what says which policy is assigned');
  if ((settings.bindDn === undefined) !== (settings.passwordFile === undefined))
    throw new SchemaError(path, 'expected both bindDn and passwordFile, or neither');
  if (settings.startTls === true && isLdaps(settings))
    throw new SchemaError(`${path}.startTls`, 'an ldaps:// connection is encrypted already');
  return settings;
};

/** Whether nobody between here and the directory can read what it says: Windows signs and seals, here it is TLS. */
export function isProtected(settings: DirectorySettings): boolean {
  return isLdaps(settings) || settings.startTls === true;
}

function isLdaps({ url }: DirectorySettings): boolean {
  return /^ldaps:/i.test(url);
}

function isLdapUrl(word: string): boolean {
  return /^ldaps?:\/\/[^/?#@]+\/?$/i.test(word) && URL.canParse(word);
}
