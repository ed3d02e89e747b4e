/** Characters that a terminal would act on, or that hide in a text: control and format characters, and line breaks. */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A peer's text for people, on one line: what is hidden is escaped, by default as in JSON. */
export function escapeHidden(text: string, print: (codePoint: number) => string = jsonEscape): string {
  return text.replace(hidden, character => print(character.codePointAt(0) ?? 0));
}

/** A peer's name for people: also quotes and backslashes are escaped, so that it reads unambiguously. */
export function escapeName(name: string): string {
  return escapeHidden(JSON.stringify(name).slice(1, -1));
}

function jsonEscape(codePoint: number): string {
  const digits = codePoint.toString(16).padStart(4, '0');
  return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits}`;
}
