/** Text of others (names, reasons that devices report) as it may go to a terminal: control characters are shown as `\x1b`, so that none takes effect. Line ends stay. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, escaped);
}

/** The same, in one line. */
export function printableLine(text: string): string {
  return printable(text.replace(/\s*\r?\n\s*/g, " "));
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  if (character === "\t") return " ";
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
}
