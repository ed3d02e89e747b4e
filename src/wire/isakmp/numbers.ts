/**
 * The one table of ISAKMP, IPsec DOI and OAKLEY numbers. Keys are what is printed (IANA names where there are
 * any), values what is on the wire. Sources: RFC 2407, 2408, 2409, 3706, 3947, 4304, [MS-IKEE] 2.2, and the IANA
 * isakmp-registry and ipsec-registry. What an algorithm number means to us is in `crypto/algorithms.ts`.
 */

/** Names and their numbers. */
export type NumberTable = Readonly<Record<string, number>>;

/** The name of a number in a table; the number itself, in decimal, when the table does not have it. */
export function nameOf(table: NumberTable, number: number): string {
  for (const name in table) if (table[name] === number) return name;
  return String(number);
}

/** `3DES (5)`; the bare number when the table has no name for it. */
export function printNumber(table: NumberTable, number: number): string {
  const name = nameOf(table, number);
  return name === String(number) ? name : `${name} (${number})`;
}

/** Payload types (RFC 2408 3.1, RFC 3947 9, [MS-IKEE] 2.2.3). */
export const payloadTypes = {
  NONE: 0,
  SA: 1,
  PROPOSAL: 2,
  TRANSFORM: 3,
  KE: 4,
  ID: 5,
  CERT: 6,
  CERTREQ: 7,
  HASH: 8,
  SIG: 9,
  NONCE: 10,
  NOTIFY: 11,
  DELETE: 12,
  VID: 13,
  /** Mode config; IANA "MODE CFG". */
  ATTRIBUTES: 14,
  'NAT-D-04': 15,
  'NAT-OA-04': 16,
  'NAT-D': 20,
  'NAT-OA': 21,
  'GSS-TOKEN': 129,
  'NAT-D-02': 130,
  'NAT-OA-02': 131,
  FRAGMENT: 132,
} as const;

/** Payload numbers of NAT-D and NAT-OA in each revision of NAT traversal. Use one revision in an exchange. */
export const natPayloadTypes = {
  /** RFC 3947. */
  rfc: { natD: payloadTypes['NAT-D'], natOa: payloadTypes['NAT-OA'] },
  /** draft-ietf-ipsec-nat-t-ike-02 and -03: Windows 2000, XP, 2003. */
  draft02: { natD: payloadTypes['NAT-D-02'], natOa: payloadTypes['NAT-OA-02'] },
  /** drafts 04 to 08: accepted, never sent. */
  draft04: { natD: payloadTypes['NAT-D-04'], natOa: payloadTypes['NAT-OA-04'] },
} as const;

/** The payload numbers of one revision. */
export type NatRevision = (typeof natPayloadTypes)[keyof typeof natPayloadTypes];

/** Exchange types (RFC 2408 3.1, RFC 2409 5, [MS-AIPS] 2.2). */
export const exchangeTypes = {
  Base: 1,
  'Main mode': 2,
  'Authentication only': 3,
  'Aggressive mode': 4,
  Informational: 5,
  Transaction: 6,
  'Quick mode': 32,
  'New group mode': 33,
  'AuthIP main mode': 243,
  'AuthIP quick mode': 244,
  'AuthIP extended mode': 245,
  'AuthIP notify': 246,
} as const;

/** Header flag bits (RFC 2408 3.1). */
export const headerFlags = {
  ENCRYPTED: 0x01,
  COMMIT: 0x02,
  'AUTH-ONLY': 0x04,
} as const;

/** Version byte of the header: major 1, minor 0. */
export const isakmpVersion = 0x10;

/** Domain of interpretation (RFC 2407 4.2). */
export const dois = { ISAKMP: 0, IPSEC: 1 } as const;

/** Situation bits of the IPsec DOI (RFC 2407 4.2). */
export const situations = { 'IDENTITY-ONLY': 1, SECRECY: 2, INTEGRITY: 4 } as const;

/** Security protocol identifiers (RFC 2407 4.4.1). */
export const protocols = { ISAKMP: 1, AH: 2, ESP: 3, IPCOMP: 4 } as const;

/** Transform identifiers by protocol (RFC 2407 4.4.2 to 4.4.5). */
export const transformIds: Readonly<Record<number, NumberTable>> = {
  1: { KEY_IKE: 1 },
  2: {
    MD5: 2,
    SHA: 3,
    DES: 4,
    'SHA2-256': 5,
    'SHA2-384': 6,
    'SHA2-512': 7,
    RIPEMD: 8,
    'AES-XCBC-MAC': 9,
    'AES-128-GMAC': 11,
    'AES-192-GMAC': 12,
    'AES-256-GMAC': 13,
  },
  3: {
    'DES-IV64': 1,
    DES: 2,
    '3DES': 3,
    RC5: 4,
    IDEA: 5,
    CAST: 6,
    BLOWFISH: 7,
    '3IDEA': 8,
    'DES-IV32': 9,
    RC4: 10,
    NULL: 11,
    'AES-CBC': 12,
    'AES-CTR': 13,
    'AES-CCM-8': 14,
    'AES-CCM-12': 15,
    'AES-CCM-16': 16,
    'AES-GCM-8': 18,
    'AES-GCM-12': 19,
    'AES-GCM-16': 20,
    SEED: 21,
    CAMELLIA: 22,
    'NULL-AES-GMAC': 23,
  },
  4: { OUI: 1, DEFLATE: 2, LZS: 3 },
};

/** Transform id of every phase-1 transform (RFC 2407 4.4.2). */
export const keyIke = 1;

/** Phase-1 (OAKLEY) attribute types (RFC 2409 appendix A; the last is the GSS draft's). */
export const phase1Attributes = {
  encryption: 1,
  hash: 2,
  authentication: 3,
  group: 4,
  'group type': 5,
  'group prime': 6,
  'group generator one': 7,
  'group generator two': 8,
  'group curve A': 9,
  'group curve B': 10,
  'life type': 11,
  'life duration': 12,
  PRF: 13,
  'key length': 14,
  'field size': 15,
  'group order': 16,
  'GSS identity name': 16384,
} as const;

/** Phase-2 attribute types (RFC 2407 4.5, RFC 4304). */
export const phase2Attributes = {
  'life type': 1,
  'life duration': 2,
  group: 3,
  encapsulation: 4,
  authentication: 5,
  'key length': 6,
  'key rounds': 7,
  'compress dictionary size': 8,
  'compress private algorithm': 9,
  'ECN tunnel': 10,
  ESN: 11,
} as const;

/** Values of the life type attribute of both phases. */
export const lifeTypes = { seconds: 1, kilobytes: 2 } as const;

/** Authentication methods of phase 1 (RFC 2409 appendix A, RFC 4754, the GSS, hybrid and XAUTH drafts). */
export const authenticationMethods = {
  'pre-shared key': 1,
  'DSS signatures': 2,
  'RSA signatures': 3,
  'RSA encryption': 4,
  'RSA revised encryption': 5,
  'ECDSA-256': 9,
  'ECDSA-384': 10,
  'ECDSA-521': 11,
  'Hybrid RSA (initiator)': 64221,
  'Hybrid RSA (responder)': 64222,
  /** Also XAUTHInitPreShared: the vendor IDs tell which. */
  Kerberos: 65001,
  /** Also XAUTHRespPreShared. */
  'GSS-API': 65002,
  /** Also Windows AUTH_CGA. */
  'XAUTH RSA (initiator)': 65005,
  'XAUTH RSA (responder)': 65006,
} as const;

/** The methods by which the initiator or the responder is the one to prove itself by XAUTH as well (XAUTH draft 7.2). */
export const xauthMethods = {
  presharedInitiator: authenticationMethods.Kerberos,
  presharedResponder: authenticationMethods['GSS-API'],
  rsaInitiator: authenticationMethods['XAUTH RSA (initiator)'],
  rsaResponder: authenticationMethods['XAUTH RSA (responder)'],
} as const;

/** What an attributes payload does (draft-dukes-ike-mode-cfg-02 3.3). */
export const transactionTypes = { REQUEST: 1, REPLY: 2, SET: 3, ACK: 4 } as const;

/** Attributes of the transaction exchange (draft-dukes-ike-mode-cfg-02 3.4, draft-beaulieu-ike-xauth-02 6.2, Cisco). */
export const transactionAttributes = {
  INTERNAL_IP4_ADDRESS: 1,
  INTERNAL_IP4_NETMASK: 2,
  INTERNAL_IP4_DNS: 3,
  INTERNAL_IP4_NBNS: 4,
  INTERNAL_ADDRESS_EXPIRY: 5,
  APPLICATION_VERSION: 7,
  INTERNAL_IP6_ADDRESS: 8,
  INTERNAL_IP6_NETMASK: 9,
  INTERNAL_IP6_DNS: 10,
  INTERNAL_IP6_NBNS: 11,
  INTERNAL_IP4_SUBNET: 13,
  SUPPORTED_ATTRIBUTES: 14,
  INTERNAL_IP6_SUBNET: 15,
  XAUTH_TYPE: 16520,
  XAUTH_USER_NAME: 16521,
  XAUTH_USER_PASSWORD: 16522,
  XAUTH_PASSCODE: 16523,
  XAUTH_MESSAGE: 16524,
  XAUTH_CHALLENGE: 16525,
  XAUTH_DOMAIN: 16526,
  XAUTH_STATUS: 16527,
  XAUTH_NEXT_PIN: 16528,
  XAUTH_ANSWER: 16529,
  UNITY_BANNER: 28672,
  UNITY_DEF_DOMAIN: 28674,
  UNITY_SPLIT_INCLUDE: 28676,
} as const;

/** Encapsulation modes of phase 2 (RFC 2407 4.5, RFC 3947 5.1, and the NAT traversal drafts). */
export const encapsulationModes = {
  tunnel: 1,
  transport: 2,
  'UDP-tunnel': 3,
  'UDP-transport': 4,
  'UDP-tunnel (draft)': 61443,
  'UDP-transport (draft)': 61444,
} as const;

/** Diffie-Hellman groups, in both phases. */
export const groupNames = {
  MODP768: 1,
  MODP1024: 2,
  MODP1536: 5,
  MODP2048: 14,
  MODP3072: 15,
  MODP4096: 16,
  MODP6144: 17,
  MODP8192: 18,
  ECP256: 19,
  ECP384: 20,
  ECP521: 21,
  'MODP1024-160': 22,
  'MODP2048-224': 23,
  'MODP2048-256': 24,
  ECP192: 25,
  ECP224: 26,
  X25519: 31,
} as const;

/** Value names of phase-1 attributes, by attribute type. */
export const phase1Values: Readonly<Record<number, NumberTable>> = {
  [phase1Attributes.encryption]: {
    DES: 1,
    IDEA: 2,
    BLOWFISH: 3,
    RC5: 4,
    '3DES': 5,
    CAST: 6,
    AES: 7,
    CAMELLIA: 8,
  },
  [phase1Attributes.hash]: { MD5: 1, SHA: 2, TIGER: 3, SHA256: 4, SHA384: 5, SHA512: 6 },
  [phase1Attributes.authentication]: authenticationMethods,
  [phase1Attributes.group]: groupNames,
  [phase1Attributes['life type']]: lifeTypes,
};

/** Value names of phase-2 attributes, by attribute type. */
export const phase2Values: Readonly<Record<number, NumberTable>> = {
  [phase2Attributes['life type']]: lifeTypes,
  [phase2Attributes.group]: groupNames,
  [phase2Attributes.encapsulation]: encapsulationModes,
  [phase2Attributes.authentication]: {
    'HMAC-MD5': 1,
    'HMAC-SHA': 2,
    'DES-MAC': 3,
    KPDK: 4,
    'HMAC-SHA2-256': 5,
    'HMAC-SHA2-384': 6,
    'HMAC-SHA2-512': 7,
    'HMAC-RIPEMD': 8,
    'AES-XCBC-MAC': 9,
    'AES-128-GMAC': 11,
    'AES-192-GMAC': 12,
    'AES-256-GMAC': 13,
  },
  [phase2Attributes['ECN tunnel']]: { allowed: 1, forbidden: 2 },
  [phase2Attributes.ESN]: { ESN: 1 },
};

/** Attribute and value names in transforms of a protocol; none without a protocol (mode config). */
export function attributeNames(protocol: number | undefined): {
  readonly types: NumberTable;
  readonly values: Readonly<Record<number, NumberTable>>;
} {
  if (protocol === undefined) return { types: {}, values: {} };
  if (protocol === protocols.ISAKMP) return { types: phase1Attributes, values: phase1Values };
  return { types: phase2Attributes, values: phase2Values };
}

/** Identification types (RFC 2407 4.6.2.1; the last is [MS-IKEE]'s). */
export const idTypes = {
  IPV4_ADDR: 1,
  FQDN: 2,
  USER_FQDN: 3,
  IPV4_ADDR_SUBNET: 4,
  IPV6_ADDR: 5,
  IPV6_ADDR_SUBNET: 6,
  IPV4_ADDR_RANGE: 7,
  IPV6_ADDR_RANGE: 8,
  DER_ASN1_DN: 9,
  DER_ASN1_GN: 10,
  KEY_ID: 11,
  IPV6_CGA: 250,
} as const;

/** Certificate encodings (RFC 2408 3.9). */
export const certificateEncodings = {
  PKCS7: 1,
  PGP: 2,
  DNS: 3,
  'X509-SIGNATURE': 4,
  'X509-KEY-EXCHANGE': 5,
  KERBEROS: 6,
  CRL: 7,
  ARL: 8,
  SPKI: 9,
  'X509-ATTRIBUTE': 10,
} as const;

/** Notify message types (RFC 2408 3.14.1, RFC 2407 4.6.3, RFC 3706 5, [MS-IKEE] 2.2.6). 1 to 16383 are errors. */
export const notifyTypes = {
  'INVALID-PAYLOAD-TYPE': 1,
  'DOI-NOT-SUPPORTED': 2,
  'SITUATION-NOT-SUPPORTED': 3,
  'INVALID-COOKIE': 4,
  'INVALID-MAJOR-VERSION': 5,
  'INVALID-MINOR-VERSION': 6,
  'INVALID-EXCHANGE-TYPE': 7,
  'INVALID-FLAGS': 8,
  'INVALID-MESSAGE-ID': 9,
  'INVALID-PROTOCOL-ID': 10,
  'INVALID-SPI': 11,
  'INVALID-TRANSFORM-ID': 12,
  'ATTRIBUTES-NOT-SUPPORTED': 13,
  'NO-PROPOSAL-CHOSEN': 14,
  'BAD-PROPOSAL-SYNTAX': 15,
  'PAYLOAD-MALFORMED': 16,
  'INVALID-KEY-INFORMATION': 17,
  'INVALID-ID-INFORMATION': 18,
  'INVALID-CERT-ENCODING': 19,
  'INVALID-CERTIFICATE': 20,
  'CERT-TYPE-UNSUPPORTED': 21,
  'INVALID-CERT-AUTHORITY': 22,
  'INVALID-HASH-INFORMATION': 23,
  'AUTHENTICATION-FAILED': 24,
  'INVALID-SIGNATURE': 25,
  'ADDRESS-NOTIFICATION': 26,
  'NOTIFY-SA-LIFETIME': 27,
  'CERTIFICATE-UNAVAILABLE': 28,
  'UNSUPPORTED-EXCHANGE-TYPE': 29,
  'UNEQUAL-PAYLOAD-LENGTHS': 30,
  CONNECTED: 16384,
  'RESPONDER-LIFETIME': 24576,
  'REPLAY-STATUS': 24577,
  'INITIAL-CONTACT': 24578,
  'R-U-THERE': 36136,
  'R-U-THERE-ACK': 36137,
  'MS-NOTIFY-STATUS': 40003,
  'MS-DOS-COOKIE': 40004,
  'MS-EXCHANGE-INFO': 40005,
} as const;

/** Whether a notify type reports an error (RFC 2408 3.14.1: 1 to 16383), not a status. */
export function isErrorNotify(notifyType: number): boolean {
  return notifyType >= 1 && notifyType <= 16383;
}

/** Limits a decoder enforces, so that a hostile datagram costs little. */
export const decodeLimits = {
  payloads: 256,
  vendorIds: 32,
  transformsPerSa: 200,
  proposalsPerSa: 200,
  nonceBytes: { min: 8, max: 256 },
  deleteSpis: 4096,
  spiBytes: 16,
} as const;
