/** A regular expression of a source file. */
export type Expression = Readonly<{ line: number; source: string; flags: string }>;

/** Words after which a slash begins an expression, and divides nothing. */
const BEFORE = ["return", "typeof", "case", "in", "of", "yield", "await", "throw", "void", "else", "do"];

/** The regular expressions that are written as literals in a TypeScript source (not TSX); those in comments, strings and the text of templates are left out. */
export function expressionsOf(text: string): Expression[] {
  const found: Expression[] = [];
  /** Depth of braces at which each open `${` ends. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  /** The last thing before `at` that is neither space nor comment: a word, or one character. */
  let last = "";
  while (at < text.length) {
    const rest = text.slice(at, at + 2);
    const character = text.charAt(at);
    if (rest === "//" || rest === "/*" || rest === "#!") at = after(text, rest === "/*" ? "*/" : "\n", at + 2);
    else if (/\s/.test(character)) at++;
    else if (character === "`" || (character === "}" && templates.at(-1) === depth)) {
      if (character === "}") templates.pop();
      at = templateEnd(text, at + 1);
      if (text.charAt(at - 1) === "{") {
        templates.push(depth);
        last = "{";
      } else last = "`";
    } else if (character === '"' || character === "'") {
      at = quotedEnd(text, at + 1, character);
      last = '"';
    } else if (character === "/" && beginsExpression(last)) {
      const end = expressionEnd(text, at + 1);
      const flags = /^[a-z]*/.exec(text.slice(end, end + 10))?.[0] ?? "";
      found.push({ line: text.slice(0, at).split("\n").length, source: text.slice(at + 1, end - 1), flags });
      at = end + flags.length;
      last = "/";
    } else {
      const word = /^[\w$]+/.exec(text.slice(at, at + 100))?.[0] ?? character;
      if (word === "{") depth++;
      if (word === "}") depth--;
      at += word.length;
      last = word;
    }
  }
  return found;
}

function beginsExpression(last: string): boolean {
  return last === "" || BEFORE.includes(last) || !/[\w$)\]}"`/]$/.test(last);
}

/** Where the text goes on after `mark`. */
function after(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found === -1 ? text.length : found + mark.length;
}

function quotedEnd(text: string, from: number, quote: string): number {
  let at = from;
  while (at < text.length && text.charAt(at) !== quote) at += text.charAt(at) === "\\" ? 2 : 1;
  return at + 1;
}

/** Behind the closing backtick, or behind the next `${`. */
function templateEnd(text: string, from: number): number {
  let at = from;
  while (at < text.length) {
    if (text.charAt(at) === "`") return at + 1;
    if (text.startsWith("${", at)) return at + 2;
    at += text.charAt(at) === "\\" ? 2 : 1;
  }
  return at;
}

/** Behind the closing slash; one within a class closes nothing. */
function expressionEnd(text: string, from: number): number {
  let at = from;
  let inClass = false;
  while (at < text.length && (inClass || text.charAt(at) !== "/")) {
    if (text.charAt(at) === "[") inClass = true;
    if (text.charAt(at) === "]") inClass = false;
    at += text.charAt(at) === "\\" ? 2 : 1;
  }
  return at + 1;
}
