/**
 * The text of `.reg` files: `Windows Registry Editor Version 5.00` and the older `REGEDIT4`. Parsing is lenient where
 * regedit is; what is written is byte for byte what regedit exports. Pure.
 */
import { StoreFormatError } from './format-error.js';
import { textPosition } from './json-position.js';
import { decodeText } from './text-encoding.js';

/** A value by its type; `other` has the number of its type. */
export type RegValue =
  | { readonly type: 'string' | 'expandable'; readonly text: string }
  | { readonly type: 'strings'; readonly texts: readonly string[] }
  | { readonly type: 'binary'; readonly bytes: Uint8Array }
  | { readonly type: 'dword'; readonly number: number }
  | { readonly type: 'other'; readonly number: number; readonly bytes: Uint8Array }
  /** `"name"=-`. */
  | { readonly type: 'delete' };

export interface RegKey {
  /** `HKEY_LOCAL_MACHINE\SOFTWARE\…`, as written. */
  readonly path: string;
  /** `[-HKEY_…]`. */
  readonly delete: boolean;
  /** By name as written; the default value has an empty name. */
  readonly values: ReadonlyMap<string, RegValue>;
}

export const regFileHeader = 'Windows Registry Editor Version 5.00';
const oldHeader = 'REGEDIT4';

/** Parses the bytes of a `.reg` file. Throws `StoreFormatError` with line and column; never repeats a value. */
export function parseRegFile(bytes: Uint8Array): RegKey[] {
  return new RegParser(decodeText(bytes)).parse();
}

class RegParser {
  readonly #text: string;
  #position = 0;
  #isOld = false;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): RegKey[] {
    const header = this.#match(/\s*([^\r\n]*)(?:\r?\n|\r|$)/y)?.[1]?.trimEnd() ?? '';
    this.#isOld = header === oldHeader;
    if (!this.#isOld && header.toLowerCase() !== regFileHeader.toLowerCase()) {
      const quoted = JSON.stringify(header.slice(0, 40)).replace(/\p{Cc}|\\u[\da-f]{4}/gu, '.');
      throw new StoreFormatError(
        'line 1',
        `no registry file: it begins with ${quoted}, not "${regFileHeader}"`,
      );
    }
    const keys: { path: string; delete: boolean; values: Map<string, RegValue> }[] = [];
    for (;;) {
      this.#skipBlankLines();
      if (this.#position >= this.#text.length) return keys;
      const section = this.#match(/\[(-?)([^\r\n]*)\][ \t]*(?=\r|\n|$)/y);
      if (section !== undefined) {
        keys.push({ path: section[2] ?? '', delete: section[1] === '-', values: new Map() });
        continue;
      }
      const key = keys.at(-1);
      if (key === undefined) this.#fail('expected a key in brackets');
      const [name, value] = this.#parseValue();
      key.values.set(name, value);
    }
  }

  #parseValue(): [name: string, value: RegValue] {
    const name = this.#match(/@/y)
      ? ''
      : this.#parseString('a key in brackets, or the name of a value in quotes');
    if (!this.#match(/[ \t]*=[ \t]*/y)) this.#fail("expected '=' behind the name of a value");
    const value = this.#parseData();
    if (!this.#match(/[ \t]*(?:;[^\r\n]*)?(?=\r|\n|$)/y)) this.#fail('expected the end of the line');
    return [name, value];
  }

  #parseData(): RegValue {
    if (this.#match(/-/y)) return { type: 'delete' };
    if (this.#text[this.#position] === '"') return { type: 'string', text: this.#parseString('text') };
    const dword = this.#match(/dword:([\da-f]{1,8})(?![\da-f])/iy);
    if (dword !== undefined) return { type: 'dword', number: Number.parseInt(dword[1] ?? '', 16) };
    const hex = this.#match(/hex(?:\(([\da-f]{1,8})\))?:/iy);
    if (hex === undefined) this.#fail('expected text in quotes, dword: or hex:');
    const bytes = this.#parseHex();
    const type = hex[1] === undefined ? 3 : Number.parseInt(hex[1], 16);
    switch (type) {
      case 1:
        return { type: 'string', text: this.#parseTexts(bytes)[0] ?? '' };
      case 2:
        return { type: 'expandable', text: this.#parseTexts(bytes)[0] ?? '' };
      case 3:
        return { type: 'binary', bytes };
      case 4:
        return bytes.length === 4
          ? { type: 'dword', number: Buffer.from(bytes).readUInt32LE() }
          : { type: 'other', number: type, bytes };
      case 7:
        return { type: 'strings', texts: this.#parseTexts(bytes) };
      default:
        return { type: 'other', number: type, bytes };
    }
  }

  /** Bytes with commas between them; a backslash at the end of a line joins the next one to it. */
  #parseHex(): Uint8Array {
    const parts: Uint8Array[] = [];
    const gap = /(?:[ \t]|\\[ \t]*(?:;[^\r\n]*)?(?:\r\n|\r|\n))*/y;
    for (;;) {
      this.#match(gap);
      // A line at once: blobs are long.
      const run = this.#match(/(?:[\da-f]{2},)+/iy);
      if (run !== undefined) {
        parts.push(Buffer.from(run[0].replaceAll(',', ''), 'hex'));
        continue;
      }
      const byte = this.#match(/[\da-f]{1,2}(?![\da-z])/iy);
      if (byte === undefined) {
        // regedit takes a comma, or a backslash, with nothing behind it.
        if (this.#atLineEnd()) return Buffer.concat(parts);
        this.#fail('expected a byte of two hexadecimal digits');
      }
      parts.push(Uint8Array.of(Number.parseInt(byte[0], 16)));
      this.#match(gap);
      if (!this.#match(/,/y)) return Buffer.concat(parts);
    }
  }

  #parseTexts(bytes: Uint8Array): string[] {
    if (!this.#isOld && bytes.length % 2 !== 0) this.#fail(`${bytes.length} bytes are no UTF-16 text`);
    const text = this.#isOld
      ? new TextDecoder('windows-1252').decode(bytes)
      : Buffer.from(bytes).toString('utf16le');
    // The closing NULs are sometimes missing.
    const texts = text.split('\0');
    while (texts.at(-1) === '') texts.pop();
    return texts;
  }

  #parseString(expected: string): string {
    if (this.#text[this.#position] !== '"') this.#fail(`expected ${expected}`);
    const start = this.#position + 1;
    // Not by a regular expression: its stack ends before long values do.
    let end = start;
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1;
    if (end >= this.#text.length) this.#fail('the closing quote is missing');
    this.#position = end + 1;
    return this.#text.slice(start, end).replace(/\\([\s\S])/g, '$1');
  }

  #skipBlankLines(): void {
    while (this.#match(/[ \t]*(?:;[^\r\n]*)?(?:\r\n|\r|\n)/y));
    this.#match(/[ \t]*(?:;[^\r\n]*)?$/y);
    this.#match(/[ \t]+/y);
  }

  #atLineEnd(): boolean {
    return this.#position >= this.#text.length || '\r\n'.includes(this.#text[this.#position] ?? '');
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#position = pattern.lastIndex;
    return match;
  }

  #fail(problem: string): never {
    throw new StoreFormatError(textPosition(this.#text, this.#position), problem);
  }
}

/** The text of a `.reg` file, lines ended by CRLF. `encodeText` makes it the bytes regedit would write. */
export function printRegFile(keys: readonly RegKey[]): string {
  const blocks = keys.map(({ path, delete: remove, values }) =>
    [
      `[${remove ? '-' : ''}${path}]`,
      ...[...values].map(([name, value]) => printValue(name === '' ? '@' : quoted(name), value)),
    ].join('\r\n'),
  );
  return `${[regFileHeader, ...blocks].join('\r\n\r\n')}\r\n\r\n`;
}

function printValue(name: string, value: RegValue): string {
  switch (value.type) {
    case 'string':
      // Lines within quotes are read by some versions only.
      return /\p{Cc}/u.test(value.text)
        ? printHex(`${name}=hex(1):`, storedTexts([value.text]))
        : `${name}=${quoted(value.text)}`;
    case 'expandable':
      return printHex(`${name}=hex(2):`, storedTexts([value.text]));
    case 'strings':
      return printHex(`${name}=hex(7):`, storedTexts([...value.texts, '']));
    case 'binary':
      return printHex(`${name}=hex:`, value.bytes);
    case 'dword':
      return `${name}=dword:${value.number.toString(16).padStart(8, '0')}`;
    case 'other':
      return printHex(`${name}=hex(${value.number.toString(16)}):`, value.bytes);
    case 'delete':
      return `${name}=-`;
  }
}

/** Bytes in lines as regedit breaks them: behind the first comma at or behind the 77th column, then two blanks. */
function printHex(head: string, bytes: Uint8Array): string {
  const lines: string[] = [];
  let line = head;
  for (let at = 0; at < bytes.length; line = '  ') {
    const room = Math.max(1, Math.ceil((77 - line.length) / 3));
    const pairs =
      Buffer.from(bytes.subarray(at, at + room))
        .toString('hex')
        .match(/../g) ?? [];
    at += room;
    lines.push(`${line}${pairs.join(',')}${at < bytes.length ? ',\\' : ''}`);
  }
  return lines.length === 0 ? head : lines.join('\r\n');
}

function storedTexts(texts: readonly string[]): Uint8Array {
  return Buffer.from(texts.map(text => `${text}\0`).join(''), 'utf16le');
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
