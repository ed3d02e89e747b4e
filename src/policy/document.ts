/**
 * Policies as JSON documents: one policy is what a file of the local store holds and what goes to the agent, a
 * collection is what `policy export --format json` writes. Keys stand in them in clear: only for files of mode 0600
 * and for the agent's own socket. `man/ipseckit-policy.5` describes the fields.
 *
 * Version 2 added optional fields to version 1, so both are read alike; an older ipseckit refuses version 2 by name.
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
  FilterList,
  Guid,
  HostSpec,
  KeyExchangeSettings,
  MainModeMethod,
  Policy,
  PolicyLibrary,
  Rule,
  SecurityMethod,
} from './model.js';
import {
  array,
  byKind,
  type Decoder,
  define,
  flag,
  integer,
  type JsonSchema,
  jsonSchema,
  mapped,
  object,
  oneOf,
  optional,
  parsed,
  SchemaError,
  text,
} from './schema.js';

const format = 'ipseckit policy';
const collectionFormat = 'ipseckit policies';
const versions = [1, 2] as const;
const newestVersion = 2;

const guid = define(
  'guid',
  parsed(
    'a GUID in braces',
    parseGuid,
    '^(\\{HEX\\}|HEX)$'.replaceAll('HEX', '[\\dA-Fa-f]{8}(-[\\dA-Fa-f]{4}){3}-[\\dA-Fa-f]{12}'),
  ),
);
const address = define('address', parsed('an IP address', parseIpAddress, '^[\\dA-Fa-f.:]+$'));
const u16 = integer(0, 0xffff);
const u32 = integer(0, 0xffff_ffff);

const host: Decoder<HostSpec> = define(
  'host',
  byKind<HostSpec>({
    host: object({ kind: oneOf('host'), address }),
    dns: object({ kind: oneOf('dns'), name: text, addresses: array(address) }),
  }),
);

const addressSpec: Decoder<AddressSpec> = define(
  'addressSpec',
  byKind<AddressSpec>({
    me: object({ kind: oneOf('me') }),
    any: object({ kind: oneOf('any') }),
    subnet: object({ kind: oneOf('subnet'), address, prefixLength: integer(0, 128) }),
    special: object({ kind: oneOf('special'), group: oneOf('dns', 'wins', 'dhcp', 'gateway') }),
    host,
    dns: host,
  }),
);

const filter: Decoder<Filter> = define(
  'filter',
  object({
    id: guid,
    name: optional(text),
    source: addressSpec,
    destination: addressSpec,
    protocol: integer(0, 255),
    sourcePort: u16,
    destinationPort: u16,
    mirrored: flag,
  }),
);

const securityMethod: Decoder<SecurityMethod> = define(
  'securityMethod',
  object({
    ah: optional(object({ hash: oneOf(...hashIds) })),
    esp: optional(object({ encryption: oneOf(...encryptionIds), hash: optional(oneOf(...hashIds)) })),
    lifetimeSeconds: optional(u32),
    lifetimeKilobytes: optional(u32),
    pfs: optional(object({ group: optional(oneOf(...groupIds)) })),
    extendedSequence: optional(flag),
  }),
);

const named = { id: guid, name: optional(text), description: optional(text) };

const action: Decoder<FilterAction> = define(
  'action',
  byKind<FilterAction>({
    permit: object({ ...named, kind: oneOf('permit') }),
    block: object({ ...named, kind: oneOf('block') }),
    negotiate: object({
      ...named,
      kind: oneOf('negotiate'),
      methods: array(securityMethod),
      acceptUnsecured: flag,
      allowFallback: flag,
    }),
  }),
);

const authentication: Decoder<AuthenticationMethod> = define(
  'authentication',
  byKind<AuthenticationMethod>({
    preshared: object({ kind: oneOf('preshared'), key: mapped(text, key => new Secret(key)) }),
    kerberos: object({ kind: oneOf('kerberos') }),
    certificate: object({
      kind: oneOf('certificate'),
      authority: text,
      certificateToAccount: optional(flag),
      excludeCaName: optional(flag),
    }),
  }),
);

const filterList: Decoder<FilterList> = define(
  'filterList',
  object({
    ...named,
    filters: array(filter),
    furtherLists: optional(array(object({ ...named, filterIds: array(guid) }))),
  }),
);

const rule: Decoder<Rule> = define(
  'rule',
  object({
    ...named,
    active: flag,
    filterList: optional(filterList),
    action,
    authentication: array(authentication),
    tunnelEndpoint: optional(host),
    connectionType: oneOf('all', 'lan', 'dialup'),
  }),
);

const mainModeMethod: Decoder<MainModeMethod> = define(
  'mainModeMethod',
  object({
    encryption: oneOf(...encryptionIds),
    hash: oneOf(...hashIds),
    group: oneOf(...groupIds),
    lifetimeSeconds: optional(u32),
    quickModeLimit: optional(u32),
  }),
);

const keyExchange: Decoder<KeyExchangeSettings> = define(
  'keyExchange',
  object({
    id: optional(guid),
    masterKeyPfs: flag,
    lifetimeSeconds: u32,
    quickModeLimit: u32,
    methods: array(mainModeMethod),
    aggressive: optional(flag),
    softSaSeconds: optional(u32),
    certificateToAccount: optional(flag),
    excludeCaNames: optional(flag),
  }),
);

const policy: Decoder<Policy> = define(
  'policy',
  object({
    id: guid,
    name: text,
    description: optional(text),
    pollIntervalMinutes: u32,
    changedAtSeconds: optional(u32),
    keyExchange,
    rules: array(rule),
  }),
);

const document = object({ format: oneOf(format), version: oneOf(...versions), policy });

const library: Decoder<PolicyLibrary> = define(
  'library',
  object({ filterLists: array(filterList), actions: array(action) }),
);

const collection = object({
  format: oneOf(collectionFormat),
  version: oneOf(...versions),
  policies: array(policy),
  assigned: optional(guid),
  library: optional(library),
});

/** Everything a store holds: its policies, which of them is assigned, and what no rule uses. */
export interface PolicyCollection {
  readonly policies: readonly Policy[];
  readonly assigned?: Guid;
  readonly library: PolicyLibrary;
}

export const emptyLibrary: PolicyLibrary = { filterLists: [], actions: [] };

/** What both kinds of documents look like: `schema/ipseckit-policy.schema.json`. */
export function policyJsonSchema(): JsonSchema {
  return jsonSchema('urn:ipseckit:policy', 'IP Security policies of ipseckit', [document, collection]);
}

/** The document of a policy, keys in clear. */
export function policyToDocument(value: Policy): object {
  return { format, version: newestVersion, policy: withKeys(value, key => key.reveal()) };
}

/** The document of a whole store; `printKey` gives the text that stands for a preshared key. */
export function collectionToDocument(
  { policies, ...rest }: PolicyCollection,
  printKey: (key: Secret<string>) => string = key => key.reveal(),
): object {
  return {
    format: collectionFormat,
    version: newestVersion,
    policies: policies.map(policy => withKeys(policy, printKey)),
    ...rest,
  };
}

/** The policy in a document. Throws `SchemaError` that says where it is wrong, or that it is newer than this program. */
export function policyFromDocument(value: unknown): Policy {
  refuseNewer(value);
  return document(value, '').policy;
}

/** The policies in a document of one or of a collection. Throws `SchemaError`, as `policyFromDocument` does. */
export function collectionFromDocument(value: unknown): PolicyCollection {
  refuseNewer(value);
  if (field(value, 'format') === format)
    return { policies: [document(value, '').policy], library: emptyLibrary };
  const { policies, assigned, library: unused = emptyLibrary } = collection(value, '');
  return { policies, ...(assigned === undefined ? {} : { assigned }), library: unused };
}

/** Filter lists and actions outside of any policy, as a store's own file holds them. */
export const libraryFromJson: Decoder<PolicyLibrary> = library;

function withKeys(value: Policy, printKey: (key: Secret<string>) => string): object {
  const authenticationInClear = (method: AuthenticationMethod) =>
    method.kind === 'preshared' ? { kind: method.kind, key: printKey(method.key) } : method;
  const rules = value.rules.map(each => ({
    ...each,
    authentication: each.authentication.map(authenticationInClear),
  }));
  return { ...value, rules };
}

function refuseNewer(value: unknown): void {
  const [kind, version] = [field(value, 'format'), field(value, 'version')];
  if (
    (kind === format || kind === collectionFormat) &&
    typeof version === 'number' &&
    version > newestVersion
  )
    throw new SchemaError(
      'version',
      `format ${version} is newer than the ${newestVersion} this ipseckit reads; use the newer ipseckit`,
    );
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}
