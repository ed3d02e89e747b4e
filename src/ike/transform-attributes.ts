/** Reading the attributes of a transform of either phase: values by type, and the life type / duration pairs. */
import {
  attributeNumber,
  type DataAttribute,
  shortestNumber,
  tlvNumber,
  tv,
} from '../wire/isakmp/attributes.js';
import { lifeTypes, phase1Attributes, phase2Attributes } from '../wire/isakmp/numbers.js';
import type { AttributeMismatch } from './api.js';

/** Attribute numbers of the life pairs in each phase. */
const lifeAttributes = {
  1: { type: phase1Attributes['life type'], duration: phase1Attributes['life duration'] },
  2: { type: phase2Attributes['life type'], duration: phase2Attributes['life duration'] },
} as const;

export interface ReadAttributes {
  /** All but the life pairs. An empty value reads as NaN: it equals nothing. */
  readonly values: ReadonlyMap<number, number>;
  readonly lifetimeSeconds?: number;
  readonly lifetimeKilobytes?: number;
  /** Why the whole transform is unusable: a repeated attribute, or a duration without a type. */
  readonly malformed?: string;
}

/** Never throws: what is wrong makes this one transform unusable, not the message. */
export function readTransform(phase: 1 | 2, attributes: readonly DataAttribute[]): ReadAttributes {
  const life = lifeAttributes[phase];
  const values = new Map<number, number>();
  const durations = new Map<number, number>();
  let lifeType: number | undefined;
  for (const attribute of attributes) {
    const value = attributeNumber(attribute) ?? Number.NaN;
    if (attribute.type === life.type) {
      lifeType = value;
    } else if (attribute.type === life.duration) {
      if (lifeType === undefined) return { values, malformed: 'a life duration without a life type' };
      durations.set(lifeType, value);
      lifeType = undefined;
    } else if (values.has(attribute.type)) {
      return { values, malformed: `attribute ${attribute.type} repeated` };
    } else {
      values.set(attribute.type, value);
    }
  }
  const seconds = durations.get(lifeTypes.seconds);
  const kilobytes = durations.get(lifeTypes.kilobytes);
  return {
    values,
    ...(seconds === undefined ? {} : { lifetimeSeconds: seconds }),
    ...(kilobytes === undefined ? {} : { lifetimeKilobytes: kilobytes }),
  };
}

/** One life pair. Windows always writes 4 bytes, others the shortest form; every peer reads both. */
export function lifeAttributePair(
  phase: 1 | 2,
  lifeType: number,
  duration: number,
  windowsForm = false,
): DataAttribute[] {
  const life = lifeAttributes[phase];
  const write = windowsForm ? tlvNumber : shortestNumber;
  return [tv(life.type, lifeType), write(life.duration, duration)];
}

/** One attribute as refused: field's name, what we want, what was offered. */
export type Difference = Pick<AttributeMismatch, 'attribute' | 'wanted' | 'offered'>;

/** The comparison with the fewest differences: what the offer came closest to. */
export function closest(comparisons: readonly (readonly Difference[])[]): readonly Difference[] {
  let best: readonly Difference[] = comparisons[0] ?? [];
  for (const comparison of comparisons) if (comparison.length < best.length) best = comparison;
  return best;
}
