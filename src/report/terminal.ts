import { escapeHidden } from '../wire/printable.js';

/**
 * Text of strangers (names in a policy of a directory, say) that is safe to print: line breaks and tabs stay, what else a
 * terminal would act on is escaped.
 */
export function forTerminal(text: string): string {
  return text.replace(/[^\t\n]+/g, part => escapeHidden(part));
}
