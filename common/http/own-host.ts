import { isIP } from "node:net";
import { isLoopback } from "../net/address.ts";

/**
 * Whether a Host header names this machine as only its own clients can: by an address, as localhost, by a name without a dot, or by one of `ownNames`. An address
 * was not looked up, and a name without a dot is not of the public DNS: no DNS of others can make either point here, as it can any other name (DNS rebinding).
 */
export function isOwnHost(host: string | undefined, ownNames: readonly string[]): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const name = new URL(`http://${host}`).hostname.toLowerCase().replace(/^\[|\]$/g, "");
  return (
    isIP(name) !== 0 || isLoopback(name) || name.endsWith(".localhost") || !name.includes(".") || ownNames.some((own) => own.toLowerCase() === name)
  );
}
