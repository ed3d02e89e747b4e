/**
 * A title and the dots that lead to its value: padded to `width` with a blank at even and a dot at odd columns,
 * counted from 0 where the title starts. A longer title gets none.
 */
export function leader(title: string, width: number): string {
  let text = title;
  while (text.length < width) text += text.length % 2 === 1 ? '.' : ' ';
  return `${text} : `;
}
