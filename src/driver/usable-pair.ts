/** Whether a pair can be installed at all, whichever engine is to carry it. */
import { hash as hashRow } from '../crypto/algorithms.js';
import { espKeyFault } from '../crypto/packet-cipher.js';
import { IpseckitError } from '../report/errors.js';
import { addressFamily } from '../wire/ip/address.js';
import type { SaHalf, SaPair } from './api.js';
import { extendedSequenceFault } from './extended-sequence.js';

/** Throws `IpseckitError` UNSUPPORTED or INVALID_POLICY for a pair that must not be installed. */
export function checkPair(pair: SaPair): void {
  if (addressFamily(pair.local) !== addressFamily(pair.peer))
    throw unusable('a pair between an IPv4 and an IPv6 host');
  const sequenceFault = extendedSequenceFault(pair);
  if (sequenceFault !== undefined) throw unusable(sequenceFault);
  for (const halves of [pair.inbound, pair.outbound]) {
    const ah = halves.find(({ protocol }) => protocol === 'ah');
    const esp = halves.find(({ protocol }) => protocol === 'esp');
    if (ah === undefined && esp === undefined) throw unusable('a pair without ESP and AH');
    if (ah !== undefined && pair.udpEncapsulation !== undefined)
      throw new IpseckitError('UNSUPPORTED', 'The packet engine cannot carry AH in UDP (RFC 3948 2.1).', {
        next: 'Negotiate the security association without it.',
      });
    if (ah !== undefined) checkAh(ah);
    if (esp !== undefined) checkEsp(esp, ah !== undefined);
  }
}

function checkAh({ hash, integrityKey }: SaHalf): void {
  if (hash === undefined) throw unusable('AH without an integrity algorithm');
  const { name, digestBytes } = hashRow(hash);
  if (integrityKey.length !== digestBytes)
    throw unusable(`AH ${name} with a key of ${integrityKey.length} bytes`);
}

function checkEsp(half: SaHalf, insideAh: boolean): void {
  const { encryption = 'null', hash, encryptionKey, integrityKey } = half;
  const fault = espKeyFault({
    encryption,
    encryptionKey,
    integrityKey,
    ...(hash === undefined ? {} : { hash }),
  });
  if (fault !== undefined) throw unusable(`ESP: ${fault}`);
  if (encryption === 'null' && hash === undefined && !insideAh)
    throw unusable('ESP that neither encrypts nor authenticates');
}

export function unusable(what: string): IpseckitError {
  return new IpseckitError('INVALID_POLICY', `The packet engine refuses ${what}.`, {
    next: 'Negotiate the security association again.',
  });
}
