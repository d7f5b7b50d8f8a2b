/**
 * The text without the characters of a set at its end. Linear, as `/[...]+$/` is not: that looks at each run of such characters within the text from each of
 * its characters on.
 */
export function withoutEnd(text: string, characters: string): string {
  let end = text.length;
  while (end > 0 && characters.includes(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}
