/** Content of a file or of a stored object that cannot be used: where it is, and what is wrong there. */
export class StoreFormatError extends Error {
  /** `line 7, column 3`, or `HKEY_…\ipsecNFA{…}, value ipsecData`. */
  readonly where: string;

  constructor(where: string, problem: string) {
    super(where === '' ? problem : `${where}: ${problem}`);
    this.name = 'StoreFormatError';
    this.where = where;
  }
}
