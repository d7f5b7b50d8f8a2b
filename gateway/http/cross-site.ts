import { isOwnHost } from "../../common/http/own-host.ts";

export type BrowserHeaders = Readonly<{
  method: string;
  host: string | undefined;
  origin: string | undefined;
  secFetchSite: string | undefined;
}>;

export type CrossSitePolicy = Readonly<{
  authEnabled: boolean;
  /** Names under which the gateway is known besides addresses, localhost and names without a dot: the machine's own, and where it listens. */
  ownNames: readonly string[];
}>;

/**
 * Why a request is refused for what a web page of somebody else may have had a browser send; undefined: it is not. Browsers add a login that they know by
 * themselves, and, with authentication off, none is needed, so a page could change the fleet. Other clients send neither Origin nor Sec-Fetch-Site.
 */
export function crossSiteRefusal(
  { method, host, origin, secFetchSite }: BrowserHeaders,
  { authEnabled, ownNames }: CrossSitePolicy,
): string | undefined {
  if (method !== "GET") {
    if (secFetchSite === "cross-site") return "a page of another site may not call this API (Sec-Fetch-Site: cross-site)";
    if (origin !== undefined && ownScheme(origin, host) === undefined)
      return "a page of another site may not call this API (Origin is not this host)";
  }
  // A name that somebody else's DNS points here makes their page one of the same site: where no login is asked for, the name has to be ours.
  if (!authEnabled && !isOwnHost(host, ownNames)) {
    return "authentication is off, so this API answers only under its own name (Host): call it by its address, or as localhost";
  }
  return undefined;
}

/** The scheme of a page of this host, by the Origin that its browser sends; undefined for any other page, and without an Origin. */
export function ownScheme(origin: string | undefined, host: string | undefined): "http:" | "https:" | undefined {
  if (origin === undefined || host === undefined || !URL.canParse(origin)) return undefined;
  const { protocol, host: originHost } = new URL(origin);
  if (protocol !== "http:" && protocol !== "https:") return undefined;
  const own = `${protocol}//${host}`; // so that a default port counts as none, as in the Origin
  return URL.canParse(own) && new URL(own).host === originHost ? protocol : undefined;
}
