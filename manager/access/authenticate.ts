import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { FORWARDED_FOR_HEADER, PART_TOKEN_HEADER, partToken } from "../../common/access/part-token.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import type { Principal } from "../rpc/call-context.ts";
import { type Credential, credentialFrom } from "./credential-header.ts";
import { ADMIN_RIGHTS } from "./rights.ts";
import { VerifiedCredentials } from "./verified-credentials.ts";

/** Who calls, and from where. */
export type Caller = Readonly<{
  principal: Principal;
  /** Whether another part of this cluster made the call, for itself or for its own caller. */
  viaPart: boolean;
  /** Address of the caller; that of the gateway's caller where a gateway says so. */
  peer: string;
}>;

/** Told who calls as soon as it is known, so that a refusal can be put down to somebody: at first the address, then the principal too. */
export type Seen = (caller: Omit<Caller, "principal"> & Partial<Pick<Caller, "principal">>) => void;

/** The headers of a call, by lower-case name. */
export type CallHeaders = { header(name: string): string | undefined };

/**
 * Finds out who calls; throws, or rejects with, `unauthenticated`. A credential that is known is answered for at once: a storm of returning devices is
 * let in without promises.
 */
export type Authenticate = (headers: CallHeaders, peer: string, seen?: Seen) => Caller | Promise<Caller>;

export type AuthenticateOptions = Readonly<{
  /** false: everybody is admin. */
  enabled: boolean;
  clusterKey: string;
  admin: Readonly<{ user: string; password: string; token: string | undefined }>;
}>;

const KEPT_CREDENTIALS = 20_000;

/** Checks credentials: those of the local admin, and the part token. The secrets themselves are not kept, only keyed digests of them. */
export function createAuthenticate({ enabled, clusterKey, admin }: AuthenticateOptions): Authenticate {
  const key = randomBytes(32).toString("base64");
  const digest = (text: string): Buffer => hash("sha256", key + text, "buffer");
  const expected = {
    user: digest(admin.user),
    password: digest(admin.password),
    token: admin.token === undefined || admin.token === "" ? undefined : digest(admin.token),
    part: digest(partToken(clusterKey)),
  };
  const localAdmin: Principal = { kind: "user", name: admin.user, rights: ADMIN_RIGHTS };
  const part: Principal = { kind: "part" };
  const verified = new VerifiedCredentials(KEPT_CREDENTIALS);

  /** Every comparison is made on digests of one length, and made whatever the others say: the time taken tells nothing. */
  function verify(credential: Credential): Principal | undefined {
    switch (credential.kind) {
      case "basic": {
        const user = timingSafeEqual(digest(credential.user), expected.user);
        const password = timingSafeEqual(digest(credential.password), expected.password);
        return user && password ? localAdmin : undefined;
      }
      case "bearer": {
        if (expected.token === undefined) return undefined;
        const asIs = timingSafeEqual(digest(credential.token), expected.token);
        const encoded = timingSafeEqual(digest(Buffer.from(credential.token, "base64").toString("utf8")), expected.token);
        return asIs || encoded ? localAdmin : undefined;
      }
      case "none":
      case "unreadable":
        return undefined;
    }
  }

  function principalOf(header: string | undefined, viaPart: boolean): Principal {
    if (!enabled) return localAdmin;
    if (header !== undefined) {
      const id = hash("sha256", key + header, "base64");
      const known = verified.get(id);
      if (known !== undefined) return known;
      const found = verify(credentialFrom(header));
      if (found !== undefined) {
        verified.add(id, found);
        return found;
      }
      throw new NebulaError("unauthenticated", "the authorization header holds no valid user and password, and no valid token");
    }
    if (viaPart) return part;
    throw new NebulaError("unauthenticated", "this call needs an authorization header: Basic with user and password, or Bearer with a token");
  }

  return (headers, peer, seen) => {
    const shown = headers.header(PART_TOKEN_HEADER);
    const viaPart = shown !== undefined && timingSafeEqual(digest(shown), expected.part);
    if (shown !== undefined && !viaPart) {
      throw new NebulaError(
        "unauthenticated",
        `the ${PART_TOKEN_HEADER} header is not of this cluster: gateway and managers need the same NEBULA_CLUSTER_KEY`,
      );
    }
    const from = { viaPart, peer: (viaPart ? headers.header(FORWARDED_FOR_HEADER) : undefined) ?? peer };
    seen?.(from);
    return { ...from, principal: principalOf(headers.header("authorization"), viaPart) };
  };
}
