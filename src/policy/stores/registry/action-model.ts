/** Filter actions between the model and ipsecNegotiationPolicy objects. */
import { IpseckitError } from '../../../report/errors.js';
import { printSuite } from '../../ipsecpol/security-method.js';
import type { FilterAction, Guid, SecurityMethod } from '../../model.js';
import type { NoteBook } from '../../note.js';
import { idOf, keyOf } from './ids.js';
import {
  type AlgorithmSlot,
  actionGuids,
  type OfferData,
  slotEncryption,
  slotHash,
  slotProtocol,
  softOffer,
} from './negotiation-data.js';

/** What an action object says without its names; `undefined` for an action GUID nobody knows. */
export function actionFromData(
  id: Guid,
  action: Guid | undefined,
  offers: readonly OfferData[],
  book: NoteBook,
): FilterAction | undefined {
  const kind = keyOf(actionGuids, action);
  if (kind === undefined) return undefined;
  if (kind === 'permit' || kind === 'block') return { id, kind };
  const methods = offers
    .filter(offer => offer.algorithms.length > 0)
    .flatMap((offer, i) => methodFromOffer(offer, book.in(`security method ${i + 1}`)) ?? []);
  // Only the first offer's PFS matters to Windows.
  const pfs = offers[0]?.pfs ? { pfs: {} } : {};
  return {
    id,
    kind: 'negotiate',
    methods: methods.map(method => ({ ...method, ...pfs })),
    acceptUnsecured: kind === 'inboundPassThrough',
    allowFallback: offers.some(offer => offer.algorithms.length === 0),
  };
}

/** The GUID and offers of an action. Throws `IpseckitError` (UNSUPPORTED) when Windows knows none of its methods. */
export function actionToData(
  action: FilterAction,
  book: NoteBook,
): { readonly action: Guid; readonly offers: readonly OfferData[] } {
  if (action.kind !== 'negotiate') return { action: actionGuids[action.kind] as Guid, offers: [] };
  const offers = action.methods.flatMap(method => {
    const offer = methodToOffer(method);
    if (offer === undefined)
      book.add('dropped', `security method ${printSuite(method)} is unknown to Windows policies`);
    return offer === undefined ? [] : [offer];
  });
  if (offers.length === 0 && action.methods.length > 0)
    throw new IpseckitError(
      'UNSUPPORTED',
      `${book.where}: Windows policies know none of its security methods: ${action.methods.map(printSuite).join(' ')}`,
      { next: 'add a method with DES or 3DES and MD5 or SHA, or choose another format (json)' },
    );
  const first = action.methods[0];
  for (const { pfs } of action.methods)
    if (pfs?.group !== undefined)
      book.add('changed', `PFS with group ${pfs.group} becomes PFS with the group of main mode`);
  if (action.methods.some(({ extendedSequence }) => extendedSequence))
    book.add('dropped', 'extended sequence numbers: Windows has none');
  if (action.methods.some(({ pfs }) => (pfs === undefined) !== (first?.pfs === undefined)))
    book.add('changed', 'PFS differs among the methods; Windows follows the first of them');
  return {
    action: actionGuids[action.acceptUnsecured ? 'inboundPassThrough' : 'negotiate'] as Guid,
    offers: [...offers, ...(action.allowFallback ? [softOffer] : [])],
  };
}

function methodFromOffer(offer: OfferData, book: NoteBook): SecurityMethod | undefined {
  let method: SecurityMethod = {
    ...(offer.lifetimeSeconds === 0 ? {} : { lifetimeSeconds: offer.lifetimeSeconds }),
    ...(offer.lifetimeKilobytes === 0 ? {} : { lifetimeKilobytes: offer.lifetimeKilobytes }),
  };
  for (const { protocol, algorithm, integrity } of offer.algorithms) {
    const part = protocolFromSlot(protocol, algorithm, integrity);
    const kind = keyOf(slotProtocol, protocol);
    if (part === undefined || (kind !== undefined && method[kind] !== undefined)) {
      book.add(
        'dropped',
        `protocol ${protocol}, algorithm ${algorithm}, integrity ${integrity} is no method ipseckit has`,
      );
      return undefined;
    }
    if (protocol === slotProtocol.esp && algorithm === 2)
      book.add('changed', 'ESP algorithm 2 is read as DES');
    method = { ...method, ...part };
  }
  return method;
}

function protocolFromSlot(
  protocol: number,
  algorithm: number,
  integrity: number,
): Pick<SecurityMethod, 'ah' | 'esp'> | undefined {
  if (protocol === slotProtocol.ah) {
    const hash = keyOf(slotHash, algorithm);
    return hash && { ah: { hash } };
  }
  if (protocol !== slotProtocol.esp) return undefined;
  const encryption = keyOf(slotEncryption, algorithm === 2 ? slotEncryption.des : algorithm);
  const hash = keyOf(slotHash, integrity);
  if (encryption === undefined || (hash === undefined && integrity !== 0)) return undefined;
  return { esp: { encryption, ...(hash === undefined ? {} : { hash }) } };
}

function methodToOffer({
  ah,
  esp,
  lifetimeSeconds,
  lifetimeKilobytes,
  pfs,
}: SecurityMethod): OfferData | undefined {
  const algorithms: AlgorithmSlot[] = [];
  if (ah !== undefined) {
    const algorithm = idOf(slotHash, ah.hash);
    if (algorithm === undefined) return undefined;
    algorithms.push({ algorithm, integrity: 0, protocol: slotProtocol.ah });
  }
  if (esp !== undefined) {
    const algorithm = idOf(slotEncryption, esp.encryption);
    const integrity = esp.hash === undefined ? 0 : idOf(slotHash, esp.hash);
    if (algorithm === undefined || integrity === undefined) return undefined;
    algorithms.push({ algorithm, integrity, protocol: slotProtocol.esp });
  }
  return {
    lifetimeSeconds: lifetimeSeconds ?? 0,
    lifetimeKilobytes: lifetimeKilobytes ?? 0,
    pfs: pfs !== undefined,
    algorithms,
  };
}
