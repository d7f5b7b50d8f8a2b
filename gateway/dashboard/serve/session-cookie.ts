/**
 * The cookie of a session, which a browser sends by itself, for pages of other sites, too. So:
 *
 * C1 It is taken for an Authorization by the API alone, never by REST v2 or /info, and only on a POST with the Origin of a page
 *    of this host, and with `connect-protocol-version` or JSON, which another site's page can't send unasked.
 * C2 An Authorization header precedes it.
 * C3 No script reads it (HttpOnly), no other site's page has it sent (SameSite=Strict), and it ends with the browser (no
 *    Max-Age). Over TLS it is `Secure` and has the prefix `__Host-`, so that no other host and no clear text can set it.
 * C4 Whether that is TLS says the Origin: a gateway may be behind a proxy that has the certificate. A gateway with a
 *    certificate of its own takes no page of clear text for its own.
 */
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { ownScheme } from "../../http/cross-site.ts";
import type { Route } from "../../http/exchange.ts";

/** How the page that a request comes from was loaded. */
export type PageScheme = "http:" | "https:";

const NAMES: Readonly<Record<PageScheme, string>> = { "https:": "__Host-nebula", "http:": "nebula" };

/** The scheme of the page of this host that sent a request; undefined: another page, or no page, did. */
export function ownPageOf({ headers, socket }: IncomingMessage): PageScheme | undefined {
  const scheme = ownScheme(headers.origin, headers.host);
  return socket instanceof TLSSocket && scheme === "http:" ? undefined : scheme; // C4
}

/** Set-Cookie of a session. */
export function cookieOf(token: string, page: PageScheme): string {
  return `${NAMES[page]}=${token}; Path=/; HttpOnly; SameSite=Strict${page === "https:" ? "; Secure" : ""}`; // C3
}

/** Set-Cookie that removes it. */
export function noCookie(page: PageScheme): string {
  return `${cookieOf("", page)}; Max-Age=0`;
}

/** Each session token in the cookies of a request of an own page: other paths and hosts may have set one of the same name. */
export function cookieTokensOf(request: Headed, page: PageScheme): readonly string[] {
  return [...new Set(cookieValues(request, page).filter(isToken))];
}

/** The session token in the cookie of a request of an own page; undefined unless there is exactly one cookie. */
function cookieTokenOf(request: Headed, page: PageScheme): string | undefined {
  const [token, ...more] = cookieValues(request, page);
  return more.length === 0 && token !== undefined && isToken(token) ? token : undefined;
}

type Headed = Pick<IncomingMessage, "headers">;

function cookieValues({ headers }: Headed, page: PageScheme): readonly string[] {
  const pairs = (headers.cookie ?? "").split(";").map((pair) => pair.trim().split("="));
  return pairs.filter(([name]) => name === NAMES[page]).map(([, value = ""]) => value);
}

function isToken(value: string): boolean {
  return /^nbs_[\w-]{43}$/.test(value);
}

/** The routes of the API, which take the cookie for an Authorization (C1, C2). */
export function withSessionCookie(routes: readonly Route[]): readonly Route[] {
  return routes.map(
    (route): Route => ({
      ...route,
      handle(exchange) {
        const { request } = exchange;
        const token = tokenForApi(request);
        if (token !== undefined) request.headers.authorization = `Bearer ${token}`;
        return route.handle(exchange);
      },
    }),
  );
}

function tokenForApi(request: IncomingMessage): string | undefined {
  const { method, headers } = request;
  if (method !== "POST" || headers.authorization !== undefined) return undefined;
  const isUnlikeForms = headers["connect-protocol-version"] !== undefined || /^application\/json\s*(;|$)/i.test(headers["content-type"] ?? "");
  const page = ownPageOf(request);
  return isUnlikeForms && page !== undefined ? cookieTokenOf(request, page) : undefined;
}
