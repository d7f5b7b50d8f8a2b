import { hash, randomBytes } from "node:crypto";
import { countedAddress, countedNetwork } from "../../common/access/caller-address.ts";
import type { WorkFor } from "../../common/access/fair-work.ts";
import {
  FORWARDED_FOR_HEADER,
  FORWARDER_TOKEN_HEADER,
  forwarderTokenCheck,
  PART_TOKEN_HEADER,
  partTokenCheck,
} from "../../common/access/part-token.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { isLoopback } from "../../common/settings/parse-listen-address.ts";
import type { Principal } from "../rpc/call-context.ts";
import { type Credential, credentialFrom } from "./credential-header.ts";
import type { Attempt, AttemptEnd, FailedLogins } from "./failed-logins.ts";
import { type AdminSettings, createLocalAdmin } from "./local-admin.ts";
import { configuredLogin, type Login, type Verified } from "./login.ts";
import { isUnguessable } from "./presented-token.ts";
import { ADMIN_RIGHTS } from "./rights.ts";
import type { StoredCredentials } from "./stored-credentials.ts";
import type { VerifiedCredentials } from "./verified-credentials.ts";

/** The answer to a credential that is not valid; the log of a device shows it. */
export const INVALID_LOGIN = "the authorization header holds no valid user and password, and no valid token";

/** Who calls, and from where. */
export type Caller = Readonly<{
  principal: Principal;
  /** What the principal was found by: one for all calls and watches of a credential. */
  login: Login;
  /** Whether another part of this cluster made the call, for itself or for its own caller. */
  viaPart: boolean;
  /** Address of the caller; that of the gateway's caller where a gateway says so. */
  peer: string;
}>;

/** Told who calls as soon as it is known, so that a refusal can be put down to somebody: at first the address, then the principal too. */
export type Seen = (caller: Pick<Caller, "viaPart" | "peer"> & Partial<Pick<Caller, "principal">>) => void;

/** The headers of a call, by lower-case name. */
export type CallHeaders = { header(name: string): string | undefined };

/**
 * Finds out who calls; throws, or rejects with, `unauthenticated`, `resource_exhausted` (with a retry time) after too many failed logins, and `unavailable`
 * where the store does not answer. A credential that is known is answered for at once: a storm of returning devices is let in without promises.
 */
export type Authenticate = (headers: CallHeaders, peer: string, seen?: Seen) => Caller | Promise<Caller>;

export type AuthenticateOptions = Readonly<{
  /** false: everybody is admin. */
  enabled: boolean;
  /** Where it is off, whether callers whom a gateway names as being elsewhere are admins, too: the manager's own address says nothing of who reaches a gateway. */
  openToOthers?: boolean;
  clusterKey: string;
  admin: AdminSettings;
  stored: StoredCredentials;
  verified: VerifiedCredentials;
  failedLogins: FailedLogins;
  /** The round of access now: see access-rounds.ts. */
  round: () => number;
}>;

/** Checks credentials: those of the local admin, which need no store, those of the store, and the part token. */
export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  const { enabled, openToOthers = false, clusterKey, admin, stored, verified, failedLogins, round } = options;
  const key = randomBytes(32).toString("base64");
  const isPartToken = partTokenCheck(clusterKey);
  const isForwarderToken = forwarderTokenCheck(clusterKey);
  const isLocalAdmin = createLocalAdmin(admin, key);
  const localAdmin = configuredLogin({ kind: "user", name: admin.user, rights: ADMIN_RIGHTS });
  const part = configuredLogin({ kind: "part" });
  /** By credential and address: many calls that come with one new credential at once are one check, and one failed login. */
  const checks = new Map<string, Promise<Login>>();

  async function verify(credential: Credential, workFor: WorkFor): Promise<Verified | undefined> {
    return isLocalAdmin(credential) ? localAdmin.verified : stored.verify(credential, workFor);
  }

  /** What a credential stands for that was valid before rights changed. It is looked at from the beginning where that has ended: it may be somebody's anew. */
  async function verifyAgain(before: Login, credential: Credential, workFor: WorkFor): Promise<Verified | undefined> {
    return (await stored.again(before.verified)) ?? (await verify(credential, workFor));
  }

  /** Looks a credential up that is not known (any more). */
  async function check(id: string, header: string, peer: string): Promise<Login> {
    const credential = credentialFrom(header);
    const attempt: Attempt = { address: countedAddress(peer), user: credential.kind === "basic" ? credential.user : undefined };
    // Never held up by the failures of others: what was valid before, and tokens that nobody can guess.
    const before = verified.before(id);
    const isExempt = before !== undefined || (credential.kind === "bearer" && isUnguessable(credential.token));
    const workFor: WorkFor = { standing: failedLogins.hasFailed(attempt) ? "failed" : "clean", network: countedNetwork(peer) };
    const ended = isExempt ? undefined : await failedLogins.begin(attempt);
    let end: AttemptEnd = "unknown";
    try {
      const roundBefore = round();
      const found = before === undefined ? await verify(credential, workFor) : await verifyAgain(before, credential, workFor);
      end = found === undefined ? "invalid" : "valid";
      if (found !== undefined) return keep({ id, verified: found, round: roundBefore, ended: false });
    } finally {
      ended?.(end);
    }
    verified.refuse(id);
    if (isExempt) await failedLogins.failed(attempt);
    throw new NebulaError("unauthenticated", INVALID_LOGIN);
  }

  function keep(login: Login): Login {
    // What was looked up before the present round is not known to be valid in it. An enrolment token's uses and time are the store's to count.
    if (login.round === round() && login.verified.principal.kind !== "enrolment") verified.add(login);
    return login;
  }

  function loginOf(header: string | undefined, viaPart: boolean, peer: string): Login | Promise<Login> {
    if (!enabled) return localAdmin;
    if (header === undefined || header.trim() === "") {
      if (viaPart) return part;
      throw new NebulaError("unauthenticated", "this call needs an authorization header: Basic with user and password, or Bearer with a token");
    }
    const id = hash("sha256", key + header, "base64");
    const known = verified.get(id);
    if (known !== undefined) return known;
    const checkId = `${id} ${countedAddress(peer)}`;
    let running = checks.get(checkId);
    if (running === undefined) {
      running = check(id, header, peer).finally(() => checks.delete(checkId));
      checks.set(checkId, running);
    }
    return running;
  }

  return (headers, peer, seen) => {
    const shown = headers.header(PART_TOKEN_HEADER);
    const viaPart = shown !== undefined && isPartToken(shown);
    if (shown !== undefined && !viaPart) {
      throw new NebulaError(
        "unauthenticated",
        `the ${PART_TOKEN_HEADER} header is not of this cluster: gateway and managers need the same NEBULA_CLUSTER_KEY`,
      );
    }
    const forwardedFor = headers.header(FORWARDED_FOR_HEADER);
    if (!enabled && !openToOthers && forwardedFor !== undefined && !isLoopback(forwardedFor)) throw forThisMachine(forwardedFor);
    const forwarder = headers.header(FORWARDER_TOKEN_HEADER);
    const isForwarded = forwardedFor !== undefined && (viaPart || (forwarder !== undefined && isForwarderToken(forwarder)));
    const from = { viaPart, peer: isForwarded ? forwardedFor : peer };
    seen?.({ ...from, viaPart: viaPart || isForwarded });
    const login = loginOf(headers.header("authorization"), viaPart, from.peer);
    return login instanceof Promise ? login.then((found) => callerOf(found, from)) : callerOf(login, from);
  };
}

function forThisMachine(address: string): NebulaError {
  return new NebulaError(
    "unauthenticated",
    `authentication is off (NEBULA_AUTH_ENABLED), which is for callers on this machine, and a gateway says that this one is at ${address}: switch it on, or say --insecure-no-auth to the manager if you mean it`,
  );
}

function callerOf(login: Login, from: Pick<Caller, "viaPart" | "peer">): Caller {
  return { ...from, principal: login.verified.principal, login };
}
