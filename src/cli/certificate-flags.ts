import { generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { Flags } from '@oclif/core';
import { type CrlStrength, crlStrengths } from '../crypto/certificates/credentials.js';
import type { AlternativeName } from '../crypto/certificates/extensions.js';
import { Secret } from '../crypto/secret.js';
import { IpseckitError } from '../report/errors.js';
import { attributeOids, encodeName, parseNameText } from '../wire/der/distinguished-name.js';
import { parseIpAddress } from '../wire/ip/address.js';

/** Kinds of keys a command makes. */
const keyTypes = ['rsa2048', 'rsa3072', 'rsa4096', 'ec256', 'ec384', 'ec521'] as const;

export type KeyType = (typeof keyTypes)[number];

const curveOfType: Partial<Record<KeyType, string>> = {
  ec256: 'prime256v1',
  ec384: 'secp384r1',
  ec521: 'secp521r1',
};

const subject = {
  summary: 'distinguished name, most general part first',
  helpValue: '"C=US, O=Example, CN=gw"',
} as const;

export const subjectFlag = Flags.string({ ...subject });

export const requiredSubjectFlag = Flags.string({ ...subject, required: true });

export const keyTypeFlag = Flags.option({
  options: keyTypes,
  summary: 'kind of key; Windows before Vista knows RSA only',
  default: 'rsa2048' as const,
})();

export const hashFlag = Flags.option({
  options: ['sha1', 'sha256', 'sha384', 'sha512'] as const,
  summary: 'hash of the signature; default sha256 or what fits the curve. Windows 2000 knows sha1 only',
})();

export const passphraseFileFlag = Flags.file({
  summary: 'file whose first line is the passphrase; asked for on the terminal when left out',
});

/** How strictly revocation lists are looked at. */
export const crlCheckFlag = Flags.custom<CrlStrength>({
  summary:
    "Windows' StrongCrlCheck: 0 do not look, 1 refuse what is known to be revoked (default), 2 refuse what no list clears",
  options: crlStrengths.map(String),
  helpValue: '0|1|2',
  parse: async text => crlStrengths.find(strength => String(strength) === text),
});

/** When certificates are judged; `timeOf` reads it. */
export const atFlag = Flags.custom<string>({
  summary: 'judge at this time instead of now',
  helpValue: '2026-01-31',
});

/** Milliseconds since 1970 of `--at`. Throws `IpseckitError` (USAGE). */
export function timeOf(text: string): number {
  const time = Date.parse(text);
  if (!Number.isNaN(time)) return time;
  throw new IpseckitError('USAGE', `--at: "${text}" is not a time`, {
    next: 'write it as 2026-01-31 or 2026-01-31T12:00:00Z',
  });
}

/** Names a certificate speaks for besides its subject. */
export const alternativeNameFlags = {
  dns: Flags.string({
    summary: 'host name it speaks for',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'NAME',
  }),
  email: Flags.string({
    summary: 'e-mail address it speaks for',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'USER@HOST',
  }),
  address: Flags.string({
    summary: 'IP address it speaks for',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'ADDRESS',
  }),
} as const;

/** The names of `alternativeNameFlags`. Throws `IpseckitError` (USAGE). */
export function alternativeNames(flags: {
  readonly dns?: readonly string[] | undefined;
  readonly email?: readonly string[] | undefined;
  readonly address?: readonly string[] | undefined;
}): AlternativeName[] {
  const ascii = (flag: string, name: string) => {
    if (/^[\x21-\x7e]+$/.test(name)) return name;
    throw new IpseckitError('USAGE', `--${flag}: "${name}" is not a name of printable ASCII characters`, {
      next: 'write a name of another alphabet in its ASCII form (xn--…)',
    });
  };
  return [
    ...(flags.dns ?? []).map(name => ({ kind: 'dns', name: ascii('dns', name) }) as const),
    ...(flags.email ?? []).map(name => ({ kind: 'email', name: ascii('email', name) }) as const),
    ...(flags.address ?? []).map(text => {
      const address = parseIpAddress(text);
      if (address === undefined)
        throw new IpseckitError('USAGE', `--address: "${text}" is not an IP address`, {
          next: 'write 192.0.2.1',
        });
      return { kind: 'address', address } as const;
    }),
  ];
}

/** Attributes that are no UTF-8 in a certificate (RFC 5280 appendix A). */
const asciiAttributes: readonly string[] = ['C', 'SERIALNUMBER', 'E', 'DC'];

function isOid(text: string): boolean {
  const [root = 3, second = 0] = text.split('.').map(Number);
  return /^\d(\.\d{1,9})+$/.test(text) && root <= 2 && (root === 2 || second < 40);
}

/** The DER of a subject. Throws `IpseckitError` (USAGE). */
export function subjectDer(text: string): Uint8Array {
  const attributes = parseNameText(text);
  if (attributes === undefined)
    throw new IpseckitError('USAGE', `--subject: "${text}" is not a distinguished name`, {
      next: 'write it as "C=US, O=Example, CN=gw"',
    });
  for (const { type, value } of attributes) {
    const refuse = (problem: string, next: string) => {
      throw new IpseckitError('USAGE', `--subject: ${problem}`, { next });
    };
    if (!attributeOids.has(type) && !isOid(type))
      refuse(
        `"${type}" is not a known attribute`,
        `known: ${[...attributeOids.keys()].join(' ')}, or a dotted identifier`,
      );
    if (value === '') refuse(`${type} is empty`, 'leave it out, or give it a value');
    if (asciiAttributes.includes(type) && !/^[\x20-\x7e]+$/.test(value))
      refuse(`${type} takes printable ASCII characters only`, 'write it with those');
    if (type === 'C' && value.length !== 2) refuse('C is a country of two letters', 'write C=US');
  }
  return encodeName(attributes);
}

/** A new private key, made by OpenSSL. */
export async function newPrivateKey(type: KeyType): Promise<Secret<KeyObject>> {
  const generate = promisify(generateKeyPair);
  const curve = curveOfType[type];
  const { privateKey } =
    curve === undefined
      ? await generate('rsa', { modulusLength: Number(type.slice('rsa'.length)) })
      : await generate('ec', { namedCurve: curve });
  return new Secret(privateKey);
}

const dayMs = 86_400_000;

/** From an hour ago (clocks differ) for so many days, and no longer than its issuer. */
export function validity(
  days: number,
  nowMs: number,
  issuer?: { readonly notAfterMs: number },
): { readonly notBeforeMs: number; readonly notAfterMs: number } {
  const notAfterMs = Math.min(nowMs + days * dayMs, issuer?.notAfterMs ?? Number.POSITIVE_INFINITY);
  return { notBeforeMs: nowMs - 3_600_000, notAfterMs };
}
