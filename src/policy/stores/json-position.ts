/** One token of JSON, or blanks. */
const token =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what JSON forbids in strings
  /[ \t\r\n]+|"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:]/y;

/** What may come next: a value, or a comma or bracket behind one, and so on. */
type Wanted = 'value' | 'value-or-end' | 'key' | 'key-or-end' | 'colon' | 'comma-or-end' | 'nothing';

/**
 * Offset of the first character at which `text` stops being JSON; its length when only the end is missing. For text
 * that `JSON.parse` refuses: its own message repeats the text, in which there may be keys.
 */
export function jsonErrorOffset(text: string): number {
  const open: ('[' | '{')[] = [];
  let wanted: Wanted = 'value';
  const behindValue = (): Wanted => (open.length === 0 ? 'nothing' : 'comma-or-end');
  token.lastIndex = 0;
  for (let offset = 0; offset < text.length; offset = token.lastIndex) {
    token.lastIndex = offset;
    const [word] = token.exec(text) ?? [];
    if (word === undefined) return offset;
    const first = word[0] ?? '';
    if (' \t\r\n'.includes(first)) continue;
    const closes = open.at(-1) === '[' ? ']' : '}';
    const mayClose: boolean =
      wanted === 'comma-or-end' || wanted === 'value-or-end' || wanted === 'key-or-end';
    if (first === ']' || first === '}') {
      if (!mayClose || first !== closes) return offset;
      open.pop();
      wanted = behindValue();
    } else if (first === ',') {
      if (wanted !== 'comma-or-end') return offset;
      wanted = open.at(-1) === '[' ? 'value' : 'key';
    } else if (first === ':') {
      if (wanted !== 'colon') return offset;
      wanted = 'value';
    } else if (wanted === 'key' || wanted === 'key-or-end') {
      if (first !== '"') return offset;
      wanted = 'colon';
    } else if (wanted !== 'value' && wanted !== 'value-or-end') {
      return offset;
    } else if (first === '[' || first === '{') {
      open.push(first);
      wanted = first === '[' ? 'value-or-end' : 'key-or-end';
    } else {
      wanted = behindValue();
    }
  }
  return text.length;
}

/** `line 3, column 7`, both from 1. */
export function textPosition(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}
