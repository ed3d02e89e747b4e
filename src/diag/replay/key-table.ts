/** Wireshark's table of IKEv1 keys, as `capture` and `--export-keys` write it. */
import { fromHex, WireError } from '../../wire/bytes.js';

/** Key by initiator cookie, both as in the table; the cookie in lower case. */
export type IkeKeys = ReadonlyMap<string, Uint8Array>;

/** Reads an `ikev1_decryption_table`. Throws `WireError` that names the line. */
export function parseIkeKeys(text: string): IkeKeys {
  const keys = new Map<string, Uint8Array>();
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.trim();
    if (words === '' || words.startsWith('#')) continue;
    const [, cookie, key] = /^"?([0-9a-f]{16})"?,"?([0-9a-f]+)"?$/i.exec(words) ?? [];
    if (cookie === undefined || key === undefined || key.length % 2 !== 0)
      throw new WireError('bad-value', index + 1, `line ${index + 1} is no "cookie,key"`);
    keys.set(cookie.toLowerCase(), fromHex(key));
  }
  return keys;
}
