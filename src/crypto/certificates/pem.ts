/** PEM text (RFC 7468). */

export interface PemBlock {
  /** `CERTIFICATE`, `X509 CRL`, `PRIVATE KEY`, … */
  readonly label: string;
  readonly der: Uint8Array;
}

/** Every block of a text, in order; what stands between them is skipped. */
export function parsePem(text: string): PemBlock[] {
  const pattern = /-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g;
  return [...text.matchAll(pattern)].map(([, label = '', body = '']) => ({
    label,
    // A key that openssl encrypted the old way has header lines before the data.
    der: Uint8Array.from(Buffer.from(body.replace(/^.*:.*$/gm, ''), 'base64')),
  }));
}

export function printPem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`;
}
