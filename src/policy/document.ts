/**
 * A policy as a JSON document: what a file of the local store holds, and what goes to the agent. Keys stand in it in
 * clear: only for files of mode 0600 and for the agent's own socket.
 */
import { encryptionIds, groupIds, hashIds } from '../crypto/algorithms.js';
import { Secret } from '../crypto/secret.js';
import { parseIpAddress } from '../wire/ip/address.js';
import { parseGuid } from './guid.js';
import type {
  AddressSpec,
  AuthenticationMethod,
  Filter,
  FilterAction,
  HostSpec,
  KeyExchangeSettings,
  Policy,
  Rule,
  SecurityMethod,
} from './model.js';
import {
  array,
  byKind,
  type Decoder,
  flag,
  integer,
  object,
  oneOf,
  optional,
  parsed,
  SchemaError,
  text,
} from './schema.js';

const format = 'ipseckit policy';
const version = 1;

const guid = parsed('a GUID in braces', parseGuid);
const address = parsed('an IP address', parseIpAddress);
const u16 = integer(0, 0xffff);
const u32 = integer(0, 0xffff_ffff);

const host: Decoder<HostSpec> = byKind<HostSpec>({
  host: object({ kind: oneOf('host'), address }),
  dns: object({ kind: oneOf('dns'), name: text, addresses: array(address) }),
});

const addressSpec: Decoder<AddressSpec> = byKind<AddressSpec>({
  me: object({ kind: oneOf('me') }),
  any: object({ kind: oneOf('any') }),
  subnet: object({ kind: oneOf('subnet'), address, prefixLength: integer(0, 128) }),
  special: object({ kind: oneOf('special'), group: oneOf('dns', 'wins', 'dhcp', 'gateway') }),
  host,
  dns: host,
});

const filter: Decoder<Filter> = object({
  id: guid,
  name: optional(text),
  source: addressSpec,
  destination: addressSpec,
  protocol: integer(0, 255),
  sourcePort: u16,
  destinationPort: u16,
  mirrored: flag,
});

const securityMethod: Decoder<SecurityMethod> = object({
  ah: optional(object({ hash: oneOf(...hashIds) })),
  esp: optional(object({ encryption: oneOf(...encryptionIds), hash: optional(oneOf(...hashIds)) })),
  lifetimeSeconds: optional(u32),
  lifetimeKilobytes: optional(u32),
  pfs: optional(object({ group: optional(oneOf(...groupIds)) })),
});

const action: Decoder<FilterAction> = byKind<FilterAction>({
  permit: object({ id: guid, name: optional(text), kind: oneOf('permit') }),
  block: object({ id: guid, name: optional(text), kind: oneOf('block') }),
  negotiate: object({
    id: guid,
    name: optional(text),
    kind: oneOf('negotiate'),
    methods: array(securityMethod),
    acceptUnsecured: flag,
    allowFallback: flag,
  }),
});

const authentication: Decoder<AuthenticationMethod> = byKind<AuthenticationMethod>({
  preshared: object({ kind: oneOf('preshared'), key: (value, path) => new Secret(text(value, path)) }),
  kerberos: object({ kind: oneOf('kerberos') }),
  certificate: object({ kind: oneOf('certificate'), authority: text }),
});

const rule: Decoder<Rule> = object({
  id: guid,
  name: optional(text),
  active: flag,
  filterList: optional(object({ id: guid, name: optional(text), filters: array(filter) })),
  action,
  authentication: array(authentication),
  tunnelEndpoint: optional(host),
  connectionType: oneOf('all', 'lan', 'dialup'),
});

const keyExchange: Decoder<KeyExchangeSettings> = object({
  masterKeyPfs: flag,
  lifetimeSeconds: u32,
  quickModeLimit: u32,
  methods: array(
    object({ encryption: oneOf(...encryptionIds), hash: oneOf(...hashIds), group: oneOf(...groupIds) }),
  ),
});

const policy: Decoder<Policy> = object({
  id: guid,
  name: text,
  description: optional(text),
  pollIntervalMinutes: u32,
  keyExchange,
  rules: array(rule),
});

const document = object({ format: oneOf(format), version: oneOf(version), policy });

/** The document of a policy, keys in clear. */
export function policyToDocument(value: Policy): object {
  const authenticationInClear = (method: AuthenticationMethod) =>
    method.kind === 'preshared' ? { kind: method.kind, key: method.key.reveal() } : method;
  const rules = value.rules.map(each => ({
    ...each,
    authentication: each.authentication.map(authenticationInClear),
  }));
  return { format, version, policy: { ...value, rules } };
}

/** The policy in a document. Throws `SchemaError` that says where it is wrong, or that it is newer than this program. */
export function policyFromDocument(value: unknown): Policy {
  if (typeof value === 'object' && value !== null && 'format' in value && value.format === format)
    if ('version' in value && typeof value.version === 'number' && value.version > version)
      throw new SchemaError(
        'version',
        `format ${value.version} is newer than the ${version} this ipseckit reads; use the newer ipseckit`,
      );
  return document(value, '').policy;
}
