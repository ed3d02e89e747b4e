/** Main-mode settings between the model and an ipsecISAKMPPolicy blob. */

import { printMainModeMethod } from '../../ipsecpol/security-method.js';
import type { KeyExchangeSettings, MainModeMethod } from '../../model.js';
import { policyDefaults } from '../../model.js';
import type { NoteBook } from '../../note.js';
import { idOf, keyOf } from './ids.js';
import {
  type IsakmpData,
  type IsakmpMethodData,
  isakmpEncryption,
  isakmpGroup,
  isakmpHash,
  isakmpOptions,
  strongMethods,
} from './isakmp-data.js';

const strongGroup = 14;

/** The settings a blob holds. Methods ipseckit does not know are left out and noted. */
export function keyExchangeFromData(data: IsakmpData, book: NoteBook): Omit<KeyExchangeSettings, 'id'> {
  const ended = data.strongMethods.indexOf(0);
  const strong = [...data.strongMethods.subarray(0, ended < 0 ? undefined : ended)].flatMap(row => {
    const method = strongMethods[row - 1];
    if (method === undefined) book.add('dropped', `main mode offer ${row} with group 14 is unknown`);
    return method === undefined ? [] : [{ ...method, group: strongGroup } as const];
  });
  const listed = data.methods.flatMap((stored, i) => {
    const method = methodFromData(stored, book.in(`main mode method ${i + 1}`));
    return method === undefined ? [] : [{ method, stored }];
  });
  const headerSeconds = data.lifetimeSeconds || policyDefaults.mainModeLifetimeSeconds;
  // Windows 2000 leaves the header's lifetime 0, others its default: what all methods say is what was set.
  const lifetimeSeconds = common(listed.map(({ stored }) => stored.lifetimeSeconds)) || headerSeconds;
  const quickModeLimit = common(listed.map(({ stored }) => stored.quickModeLimit)) || data.quickModeLimit;
  const own = (seconds: number, quickModes: number) => ({
    ...(seconds === lifetimeSeconds ? {} : { lifetimeSeconds: seconds }),
    ...(quickModes === quickModeLimit || data.masterKeyPfs ? {} : { quickModeLimit: quickModes }),
  });
  return {
    masterKeyPfs: data.masterKeyPfs,
    lifetimeSeconds,
    quickModeLimit: data.masterKeyPfs ? 1 : quickModeLimit,
    methods: [
      ...strong.map(method => ({ ...method, ...own(headerSeconds, data.quickModeLimit) })),
      ...listed.map(({ method, stored }) => ({
        ...method,
        ...own(stored.lifetimeSeconds || headerSeconds, stored.quickModeLimit || data.quickModeLimit),
      })),
    ],
    ...(data.options & isakmpOptions.certificateToAccount ? { certificateToAccount: true } : {}),
    ...(data.options & isakmpOptions.excludeCaNames ? { excludeCaNames: true } : {}),
  };
}

/** The blob of these settings, without the methods Windows does not know, which are noted. */
export function keyExchangeToData(settings: KeyExchangeSettings, book: NoteBook): IsakmpData {
  const methods = settings.methods.filter(method => {
    const known = methodToData(method, settings) !== undefined;
    if (!known)
      book.add('dropped', `main mode method ${printMainModeMethod(method)} is unknown to Windows policies`);
    return known;
  });
  const { softSaSeconds = policyDefaults.softSaSeconds } = settings;
  if (softSaSeconds !== policyDefaults.softSaSeconds)
    book.add(
      'dropped',
      `soft SAs that end after ${softSaSeconds} s without traffic: no Windows policy says when`,
    );
  if (settings.aggressive) book.add('dropped', 'aggressive mode: Windows has none');
  if (settings.lifetimeSeconds === 0)
    book.add('changed', 'a main mode lifetime of 0 is the default of 480 minutes in a Windows store');
  const quickModeLimit = settings.masterKeyPfs ? 1 : settings.quickModeLimit;
  if (quickModeLimit !== settings.quickModeLimit)
    book.add('changed', 'master key PFS limits a main mode to one quick mode');
  // Only those in front can be said by a byte, which Windows 2003 reads; there must be one method besides.
  const weak = methods.findIndex(method => strongRow(method) === 0);
  const inHeader = Math.min(Math.max(weak, 0), 4);
  return {
    masterKeyPfs: settings.masterKeyPfs,
    options:
      (settings.certificateToAccount ? isakmpOptions.certificateToAccount : 0) |
      (settings.excludeCaNames ? isakmpOptions.excludeCaNames : 0),
    strongMethods: Uint8Array.from({ length: 4 }, (_, i) => {
      const method = i < inHeader ? methods[i] : undefined;
      return method === undefined ? 0 : strongRow(method);
    }),
    quickModeLimit,
    lifetimeSeconds: settings.lifetimeSeconds,
    methods: methods.slice(inHeader).flatMap(method => methodToData(method, settings) ?? []),
  };
}

function methodFromData(data: IsakmpMethodData, book: NoteBook): MainModeMethod | undefined {
  if (data.strongMethod !== 0) {
    const strong = strongMethods[data.strongMethod - 1];
    if (strong !== undefined) return { ...strong, group: strongGroup };
  }
  const encryption = keyOf(isakmpEncryption, data.encryption === 2 ? 3 : data.encryption);
  const hash = keyOf(isakmpHash, data.hash);
  const group = keyOf(isakmpGroup, data.group);
  if (encryption === undefined || hash === undefined || group === undefined) {
    book.add(
      'dropped',
      `cipher ${data.encryption}, hash ${data.hash}, group ${data.group} is no method ipseckit has`,
    );
    return undefined;
  }
  return { encryption, hash, group: group === '14' ? 14 : group === '2' ? 2 : 1 };
}

function methodToData(method: MainModeMethod, settings: KeyExchangeSettings): IsakmpMethodData | undefined {
  const encryption = idOf(isakmpEncryption, method.encryption);
  const hash = idOf(isakmpHash, method.hash);
  const group = idOf(isakmpGroup, String(method.group));
  if (encryption === undefined || hash === undefined || group === undefined) return undefined;
  return {
    encryption,
    hash,
    strongMethod: 0,
    group,
    quickModeLimit: settings.masterKeyPfs ? 1 : (method.quickModeLimit ?? settings.quickModeLimit),
    lifetimeSeconds: method.lifetimeSeconds ?? settings.lifetimeSeconds,
  };
}

/** The byte that stands for a method with group 14 and no limits of its own; 0 when there is none. */
function strongRow(method: MainModeMethod): number {
  if (method.group !== strongGroup || method.lifetimeSeconds !== undefined) return 0;
  if (method.quickModeLimit !== undefined) return 0;
  return 1 + strongMethods.findIndex(row => row.encryption === method.encryption && row.hash === method.hash);
}

function common(values: readonly number[]): number {
  const [first = 0] = values;
  return values.every(value => value === first) ? first : 0;
}
