/** Key material as it crosses the control socket: bytes as hexadecimal. */
import type { SaHalf, SaPair } from '../../driver/api.js';
import type { ExportedKeys } from '../../ike/api.js';
import { fromHex, toHex } from '../../wire/bytes.js';

type HalfDocument = Omit<SaHalf, 'encryptionKey' | 'integrityKey'> & {
  readonly encryptionKey: string;
  readonly integrityKey: string;
};

export type KeysDocument =
  | {
      readonly kind: 'ike';
      readonly initiatorCookie: string;
      readonly encryptionKey: string;
      readonly encryption: string;
    }
  | {
      readonly kind: 'sa';
      readonly pair: Omit<SaPair, 'inbound' | 'outbound'> & {
        readonly inbound: readonly HalfDocument[];
        readonly outbound: readonly HalfDocument[];
      };
    };

export function keysToDocument(keys: ExportedKeys): KeysDocument {
  if (keys.kind === 'ike')
    return {
      ...keys,
      initiatorCookie: toHex(keys.initiatorCookie),
      encryptionKey: toHex(keys.encryptionKey),
    };
  const half = (of: SaHalf): HalfDocument => ({
    ...of,
    encryptionKey: toHex(of.encryptionKey),
    integrityKey: toHex(of.integrityKey),
  });
  const { inbound, outbound } = keys.pair;
  return { kind: 'sa', pair: { ...keys.pair, inbound: inbound.map(half), outbound: outbound.map(half) } };
}

/** The inverse. Throws `WireError` for what is no hexadecimal. */
export function keysFromDocument(document: KeysDocument): ExportedKeys {
  if (document.kind === 'ike')
    return {
      ...document,
      initiatorCookie: fromHex(document.initiatorCookie),
      encryptionKey: fromHex(document.encryptionKey),
    };
  const half = (of: HalfDocument): SaHalf => ({
    ...of,
    encryptionKey: fromHex(of.encryptionKey),
    integrityKey: fromHex(of.integrityKey),
  });
  const { inbound, outbound } = document.pair;
  return { kind: 'sa', pair: { ...document.pair, inbound: inbound.map(half), outbound: outbound.map(half) } };
}
