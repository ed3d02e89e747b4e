/** Policies as LDIF: what a Windows administration tool would have written into a directory. */

import { emptyLibrary } from '../../src/policy/document.js';
import type { Policy } from '../../src/policy/model.js';
import {
  type ObjectName,
  objectKey,
  referenceAttributes,
  referenceNames,
} from '../../src/policy/stores/registry/objects.js';
import { saveObjects } from '../../src/policy/stores/registry/save.js';

/** One entry: its DN and attributes, text or bytes. */
export interface LdifEntry {
  readonly dn: string;
  readonly attributes: readonly (readonly [name: string, value: string | Uint8Array])[];
}

/** The objects of some policies in a container, references as DNs. `whenChanged` is the policy's own time. */
export function policyEntries(policies: readonly Policy[], container: string): LdifEntry[] {
  const { graph } = saveObjects(
    { policies, library: emptyLibrary },
    { nowSeconds: 1_600_000_000, printKey: key => key.reveal() },
  );
  const dnOf = (name: ObjectName) => `CN=${objectKey(name)},${container}`;
  return graph.objects.map(object => {
    const optional = {
      ipsecName: object.name,
      description: object.description,
      ipsecData: object.data,
      iPSECNegotiationPolicyAction: object.action,
      iPSECNegotiationPolicyType: object.actionType,
      whenChanged:
        object.changedAtSeconds === undefined ? undefined : generalizedTime(object.changedAtSeconds),
    };
    return {
      dn: dnOf(object),
      attributes: [
        ['objectClass', object.class],
        ['cn', objectKey(object)],
        ['ipsecID', object.id],
        ['ipsecDataType', '256'],
        ...Object.entries(optional).flatMap(([name, value]): [string, string | Uint8Array][] =>
          value === undefined ? [] : [[name, value]],
        ),
        ...referenceNames.flatMap(name =>
          (object.references[name] ?? []).map((to): [string, string] => {
            if (to.class !== referenceAttributes[name].to) throw new Error(`${name} to ${to.class}`);
            return [name, dnOf(to)];
          }),
        ),
        ...object.owners.map((owner): [string, string] => ['ipsecOwnersReference', dnOf(owner)]),
      ],
    };
  });
}

/** An entry that only holds others. */
export function containerEntry(dn: string, objectClass = 'container'): LdifEntry {
  const name = /^CN=([^,]+)/i.exec(dn)?.[1] ?? '';
  return {
    dn,
    attributes: [
      ['objectClass', objectClass],
      ['cn', name],
    ],
  };
}

/** The pointer of a group policy object to its assigned policy. */
export function assignmentEntry(dn: string, policyDn: string): LdifEntry {
  return {
    dn,
    attributes: [...containerEntry(dn, 'ipsecPolicy').attributes, ['ipsecOwnersReference', policyDn]],
  };
}

/** RFC 2849. */
export function printLdif(entries: readonly LdifEntry[]): string {
  return entries
    .map(({ dn, attributes }) => [line('dn', dn), ...attributes.map(([name, value]) => line(name, value))])
    .map(lines => `${lines.join('\n')}\n`)
    .join('\n');
}

function line(name: string, value: string | Uint8Array): string {
  return `${name}:: ${Buffer.from(value).toString('base64')}`;
}

function generalizedTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().replace(/[-:T]/g, '').slice(0, 14)}.0Z`;
}
