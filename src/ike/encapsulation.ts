/** The encapsulation attribute of phase 2: tunnel or transport, plain or in UDP (RFC 2407 4.5, RFC 3947 5.1). */
import { encapsulationModes, phase2Attributes } from '../wire/isakmp/numbers.js';
import type { SaPayload } from '../wire/isakmp/payloads.js';
import { readTransform } from './transform-attributes.js';

/** The encapsulation attribute for a mode, plain or in UDP of a NAT traversal revision. */
export function encapsulationOf(mode: 'transport' | 'tunnel', udp: 'rfc' | 'draft02' | undefined): number {
  if (udp === undefined) return encapsulationModes[mode];
  if (udp === 'rfc') return encapsulationModes[`UDP-${mode}`];
  return encapsulationModes[`UDP-${mode} (draft)`];
}

/** The mode an encapsulation attribute asks for; `undefined` for an unknown value. */
export function modeOfEncapsulation(value: number): 'transport' | 'tunnel' | undefined {
  const { tunnel, transport, ...udp } = encapsulationModes;
  if (value === tunnel || value === udp['UDP-tunnel'] || value === udp['UDP-tunnel (draft)']) return 'tunnel';
  if (value === transport || value === udp['UDP-transport'] || value === udp['UDP-transport (draft)'])
    return 'transport';
  return undefined;
}

/** The encapsulation mode of the first transform that has one: what the peer asks for. */
export function requestedEncapsulation(sa: SaPayload): number | undefined {
  for (const proposal of sa.proposals)
    for (const transform of proposal.transforms) {
      const mode = readTransform(2, transform.attributes).values.get(phase2Attributes.encapsulation);
      if (mode !== undefined) return mode;
    }
  return undefined;
}
