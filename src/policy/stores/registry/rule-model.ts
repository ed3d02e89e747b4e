/** Rules between the model and ipsecNFA blobs: authentication, tunnel endpoint, connection type. */
import { Secret } from '../../../crypto/secret.js';
import { addressFamily, anyIpv4 } from '../../../wire/ip/address.js';
import type { AuthenticationMethod, HostSpec, Rule } from '../../model.js';
import type { NoteBook } from '../../note.js';
import { keyOf } from './ids.js';
import {
  type AuthenticationData,
  authenticationTypes,
  certificateFlags,
  interfaceTypes,
  type NfaData,
} from './nfa-data.js';

type RuleParts = Pick<Rule, 'active' | 'authentication' | 'tunnelEndpoint' | 'connectionType'>;

/** What an NFA blob says. Authentication methods nobody knows are left out and noted. */
export function ruleFromData(data: NfaData, book: NoteBook): RuleParts {
  const connectionType = keyOf(interfaceTypes, data.interfaceType);
  if (connectionType === undefined)
    book.add('changed', `connection type ${data.interfaceType} is unknown and read as all`);
  if (data.interfaceName !== '')
    book.add('changed', `its adapter '${data.interfaceName}' is not kept: it holds for all of its type`);
  const tunnelEndpoint = endpointFromData(data);
  if (tunnelEndpoint?.kind === 'host' && tunnelEndpoint.address === anyIpv4)
    book.add('advice', 'it is a tunnel rule without an endpoint, and secures nothing');
  return {
    active: data.isActive,
    authentication: data.authentication.flatMap(
      (method, i) => methodFromData(method, data.certificateFlags?.[i] ?? 0, book) ?? [],
    ),
    ...(tunnelEndpoint === undefined ? {} : { tunnelEndpoint }),
    connectionType: connectionType ?? 'all',
  };
}

/** The NFA blob of a rule; `printKey` gives the text that stands for a preshared key. */
export function ruleToData(rule: Rule, printKey: (key: Secret<string>) => string, book: NoteBook): NfaData {
  const { tunnelEndpoint: endpoint } = rule;
  const addresses =
    endpoint === undefined ? [] : endpoint.kind === 'host' ? [endpoint.address] : endpoint.addresses;
  const [address = anyIpv4] = addresses;
  if (addresses.length > 1)
    book.add('changed', `of the addresses of its tunnel endpoint only ${address} is kept`);
  const isIpv6 = addressFamily(address) === 6;
  if (isIpv6) book.add('advice', 'only Windows Vista and later read its IPv6 tunnel endpoint');
  const flags = rule.authentication.map(method =>
    method.kind === 'certificate'
      ? (method.certificateToAccount ? certificateFlags.certificateToAccount : 0) |
        (method.excludeCaName ? certificateFlags.excludeCaName : 0)
      : 0,
  );
  return {
    authentication: rule.authentication.map(method => methodToData(method, printKey)),
    interfaceType: interfaceTypes[rule.connectionType],
    interfaceName: '',
    tunnelAddress: isIpv6 ? anyIpv4 : address,
    isTunnel: endpoint !== undefined,
    isActive: rule.active,
    tunnelName: endpoint?.kind === 'dns' ? endpoint.name : '',
    ...(flags.some(bits => bits !== 0) ? { certificateFlags: flags } : {}),
    ...(isIpv6 ? { tunnelAddressIpv6: address } : {}),
  };
}

function endpointFromData(data: NfaData): HostSpec | undefined {
  if (!data.isTunnel) return undefined;
  const address = data.tunnelAddressIpv6 ?? data.tunnelAddress;
  if (data.tunnelName === '') return { kind: 'host', address };
  return { kind: 'dns', name: data.tunnelName, addresses: address === anyIpv4 ? [] : [address] };
}

function methodFromData(
  { type, value }: AuthenticationData,
  flags: number,
  book: NoteBook,
): AuthenticationMethod | undefined {
  const kind = keyOf(authenticationTypes, type);
  switch (kind) {
    case 'kerberos':
      return { kind };
    case 'preshared':
      return { kind, key: new Secret(value) };
    case 'certificate':
      return {
        kind,
        authority: value,
        ...(flags & certificateFlags.certificateToAccount ? { certificateToAccount: true } : {}),
        ...(flags & certificateFlags.excludeCaName ? { excludeCaName: true } : {}),
      };
    default:
      book.add('dropped', `authentication method ${type} is unknown`);
      return undefined;
  }
}

function methodToData(
  method: AuthenticationMethod,
  printKey: (key: Secret<string>) => string,
): AuthenticationData {
  const value =
    method.kind === 'preshared'
      ? printKey(method.key)
      : method.kind === 'certificate'
        ? method.authority
        : '';
  return { type: authenticationTypes[method.kind], value };
}
