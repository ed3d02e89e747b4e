/** Messages for people: one line for the progress of a negotiation, many for the replay of one. */
import { declarationOf, payloadType } from './declarations.js';
import { indent } from './fields.js';
import { nameOf, notifyTypes } from './numbers.js';
import type { Payload } from './payloads.js';

/** `SA KE NONCE VID*3`, `HASH NOTIFY(R-U-THERE)`: payload names in order, neighbours of one name counted. */
export function summarisePayloads(payloads: readonly Payload[]): string {
  const groups: { readonly name: string; count: number }[] = [];
  for (const payload of payloads) {
    const name = payloadName(payload);
    const last = groups.at(-1);
    if (last?.name === name) last.count++;
    else groups.push({ name, count: 1 });
  }
  return groups.map(({ name, count }) => (count === 1 ? name : `${name}*${count}`)).join(' ');
}

/** Every field of the payloads, one line each, nested by indentation. */
export function payloadLines(payloads: readonly Payload[]): string[] {
  return payloads.flatMap(payload => {
    const declaration = declarationOf(payloadType(payload));
    return [declaration.name, ...indent(declaration.print(payload, {}))];
  });
}

function payloadName(payload: Payload): string {
  const { name } = declarationOf(payloadType(payload));
  return payload.kind === 'notify' ? `${name}(${nameOf(notifyTypes, payload.notifyType)})` : name;
}
