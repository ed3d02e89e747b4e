import type { Guid } from '../../model.js';
import { encodeField, type Field, flag32, list, reserved, struct, u32, type Values } from './fields.js';
import { blob } from './frame.js';

const slot = {
  algorithm: u32,
  integrity: u32,
  /** 1 AH, 2 ESP. */
  protocol: u32,
  keyBitsAndRounds: reserved(8),
};

export type AlgorithmSlot = Values<typeof slot>;

const slotLayout = struct(slot);
const mostSlots = 3;

/** Three slots behind the number of those that count; the others hold garbage. */
const slots: Field<readonly AlgorithmSlot[]> = {
  minimumBytes: 4 + mostSlots * slotLayout.minimumBytes,
  read: (reader, what) => {
    const count = u32.read(reader, `${what}, their number`);
    if (count > mostSlots) reader.fail('too-many', `${what}: ${count} algorithms, ${mostSlots} have room`);
    const found = Array.from({ length: count }, (_, i) => slotLayout.read(reader, `${what} ${i + 1}`));
    reserved((mostSlots - count) * slotLayout.minimumBytes).read(reader, what);
    return found;
  },
  write: (writer, values) => {
    u32.write(writer, values.length);
    for (const value of values) writer.bytes(encodeField(slotLayout, value));
    writer.bytes(new Uint8Array((mostSlots - values.length) * slotLayout.minimumBytes));
  },
};

const offer = {
  /** 0 is the default of the computer. */
  lifetimeSeconds: u32,
  lifetimeKilobytes: u32,
  options: reserved(4),
  pfs: flag32,
  algorithms: slots,
};

/** One quick-mode offer as stored. Without algorithms it is the mark for falling back to clear text. */
export type OfferData = Values<typeof offer>;

/** `ipsecData` of an ipsecNegotiationPolicy object (`policy-store.md` 4.3). */
export const negotiationData = blob(
  'ipsecNegotiationPolicy',
  '{80DC20B9-2EC8-11D1-A89E-00A0248D3021}' as Guid,
  struct({ offers: list(struct(offer)) }),
);

/** The last offer of an action that allows unsecured communication. */
export const softOffer: OfferData = { lifetimeSeconds: 0, lifetimeKilobytes: 0, pfs: false, algorithms: [] };

export const slotProtocol = { ah: 1, esp: 2 } as const;

/** Numbers of ciphers and hashes in slots; the published table's ESP 2 stands for DES as well. */
export const slotEncryption = { null: 0, des: 1, '3des': 3 } as const;
export const slotHash = { md5: 1, sha1: 2 } as const;

/** `ipsecNegotiationPolicyAction`. */
export const actionGuids = {
  block: '{3F91A819-7647-11D1-864D-D46A00000000}',
  permit: '{8A171DD2-77E3-11D1-8659-A04F00000000}',
  negotiate: '{8A171DD3-77E3-11D1-8659-A04F00000000}',
  inboundPassThrough: '{3F91A81A-7647-11D1-864D-D46A00000000}',
} as const;

/** `ipsecNegotiationPolicyType`. */
export const actionTypeGuids = {
  standard: '{62F49E10-6C37-11D1-864C-14A300000000}',
  defaultResponse: '{62F49E13-6C37-11D1-864C-14A300000000}',
} as const;
