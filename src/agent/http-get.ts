/** One bounded HTTP GET, for what a CA publishes. */
import { lookup } from 'node:dns';
import { get, type IncomingMessage } from 'node:http';
import { BlockList, isIP, type LookupFunction } from 'node:net';

export interface HttpLimits {
  /** For the whole of it, from the name's look-up to the last byte. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Also ask servers of this host itself and of its link. */
  readonly nearby?: boolean;
}

/**
 * The body of `url`. Rejects with an `Error` that says why not, a few words. Redirections are not followed, and unless
 * `nearby`, no server of this host itself or of its link is asked: the address comes from somebody else.
 */
export function httpGet(
  url: string,
  { timeoutMs, maxBytes, nearby = false }: HttpLimits,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    if (target.protocol !== 'http:') throw new Error('only http is fetched');
    const literal = target.hostname.replace(/^\[|\]$/g, '');
    if (!nearby && isIP(literal) !== 0 && isRefused(literal)) throw refused(literal);
    const signal = AbortSignal.timeout(timeoutMs);
    const request = get(target, {
      ...(nearby ? {} : { lookup: carefulLookup }),
      signal,
    });
    const fail = (error: Error) => {
      request.destroy();
      const timedOut = signal.aborted;
      reject(timedOut ? new Error(`no answer within ${timeoutMs / 1_000} s`) : error);
    };
    request.on('error', fail);
    request.on('response', response => readBody(response, maxBytes).then(resolve, fail));
  });
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  if (response.statusCode !== 200) throw new Error(`HTTP status ${response.statusCode}`);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue;
    length += chunk.length;
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const carefulLookup: LookupFunction = (name, options, callback) => {
  lookup(name, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, []);
    const allowed = addresses.filter(({ address }) => !isRefused(address));
    if (allowed.length > 0) return options.all ? callback(null, allowed) : first(allowed);
    callback(refused(addresses[0]?.address ?? name), []);
  });

  function first(allowed: { readonly address: string; readonly family: number }[]): void {
    const [one] = allowed;
    if (one !== undefined) callback(null, one.address, one.family);
  }
};

const refusedAddresses = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
] as const)
  refusedAddresses.addSubnet(network, prefix, 'ipv4');
for (const [network, prefix] of [
  ['::', 127],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  refusedAddresses.addSubnet(network, prefix, 'ipv6');

/** Addresses of this host itself and of its link, groups, and what is none; IPv4 in IPv6 counts as IPv4. */
function isRefused(address: string): boolean {
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  return refusedAddresses.check(plain, isIP(plain) === 6 ? 'ipv6' : 'ipv4');
}

function refused(address: string): Error {
  return new Error(`${address} is not asked: it is this host or its link`);
}
