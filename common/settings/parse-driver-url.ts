import { type Parser, value, wrong } from "./parsed.ts";

/**
 * A URL of a driver. What follows a scheme is the driver's own to read.
 * @param whole what is a URL as it is: `memory:`
 * @param schemes beginnings of URLs: `redis://`
 */
export function driverUrl(whole: readonly string[], schemes: readonly string[], examples: string): Parser<string> {
  return (text) => {
    const known = whole.includes(text) || schemes.some((scheme) => text.length > scheme.length && text.startsWith(scheme));
    return known ? value(text) : wrong(`is no URL that is known here: give ${examples}`);
  };
}

const PASSWORD_PARAMETER = /([?&](?:password|passwd|secret|token)=)[^&#]*/gi;

/** Whether the text is a URL that carries a password, as user information or as a parameter. */
export function carriesPassword(text: string): boolean {
  return text.split(/[?#]/).some((part) => passwordIn(part) !== undefined) || text.search(PASSWORD_PARAMETER) >= 0;
}

/** The text with a password in it, if there is one, made unreadable: for messages. */
export function withoutPassword(text: string): string {
  const hidden = text.replace(/[^?#]+/g, (part) => {
    const found = passwordIn(part);
    return found === undefined ? part : `${part.slice(0, found.from)}***${part.slice(found.to)}`;
  });
  return hidden.replace(PASSWORD_PARAMETER, "$1***");
}

/**
 * Where the password of user information stands in what is before a URL's query: as far as the last @, because a password whose @ or / is not encoded must not
 * come into a log either.
 */
function passwordIn(part: string): { from: number; to: number } | undefined {
  const user = /\/\/[^/@:]*:/.exec(part);
  const to = part.lastIndexOf("@");
  const from = user === null ? part.length : user.index + user[0].length;
  return from <= to ? { from, to } : undefined;
}
