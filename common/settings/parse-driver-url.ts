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

/** As far as the last @ before the query: whoever forgot to encode the @ or / of a password must not find it in a log. */
const USER_INFO = /(\/\/[^/?#@:]*):[^?#]*@/;
const PASSWORD_PARAMETER = /([?&](?:password|passwd|secret|token)=)[^&#]*/i;

/** Whether the text is a URL that carries a password, as user information or as a parameter. */
export function carriesPassword(text: string): boolean {
  return USER_INFO.test(text) || PASSWORD_PARAMETER.test(text);
}

/** The text with a password in it, if there is one, made unreadable: for messages. */
export function withoutPassword(text: string): string {
  return text.replace(new RegExp(USER_INFO, "g"), "$1:***@").replace(new RegExp(PASSWORD_PARAMETER, "gi"), "$1***");
}
