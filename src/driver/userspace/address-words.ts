/** Addresses as the native addon takes them: one word in host order for IPv4, four for IPv6. */
import { addressBytes, addressFamily, addressFromBytes, type IpAddress } from '../../wire/ip/address.js';
import { ipv4FromNumber, readU32, writeU32 } from '../../wire/ip/packet.js';

/** Peers are few and their packets many; a flood of invented addresses must not fill the memory. */
const rememberedAddresses = 4096;
const words = new Map<IpAddress, readonly number[]>();
const ipv4Addresses = new Map<number, IpAddress>();
const ipv6Addresses = new Map<string, IpAddress>();

/** The words of an address. */
export function wordsOf(address: IpAddress): readonly number[] {
  const known = words.get(address);
  if (known !== undefined) return known;
  const bytes = addressBytes(address);
  const result = Array.from({ length: addressFamily(address) === 4 ? 1 : 4 }, (_, i) =>
    readU32(bytes, 4 * i),
  );
  remember(words, address, result);
  return result;
}

/** The address whose words begin at `at`. */
export function addressOfWords(from: Uint32Array, at: number, family: 4 | 6): IpAddress {
  const first = from[at] ?? 0;
  if (family === 4) return ipv4OfWord(first);
  const key = `${first} ${from[at + 1]} ${from[at + 2]} ${from[at + 3]}`;
  const known = ipv6Addresses.get(key);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 4; i++) writeU32(bytes, 4 * i, from[at + i] ?? 0);
  const address = addressFromBytes(bytes);
  remember(ipv6Addresses, key, address);
  return address;
}

/** The IPv4 address of a word. */
export function ipv4OfWord(word: number): IpAddress {
  const known = ipv4Addresses.get(word);
  if (known !== undefined) return known;
  const address = ipv4FromNumber(word);
  remember(ipv4Addresses, word, address);
  return address;
}

function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  if (map.size >= rememberedAddresses) map.clear();
  map.set(key, value);
}
