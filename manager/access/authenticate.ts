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
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, NebulaError } from "../../common/errors/nebula-error.ts";
import { isLoopback } from "../../common/net/address.ts";
import type { AccessGenerations } from "./access-generations.ts";
import { type AdminSettings, type Credential, createLocalAdmin, credentialFrom, isUnguessable } from "./credentials.ts";
import type { Attempt, AttemptEnd, FailedLogins } from "./limits/failed-logins.ts";
import type { Principal } from "./principal.ts";
import { ADMIN_RIGHTS } from "./rights/rights.ts";
import { type CallerSignal, SharedWork } from "./shared-work.ts";
import type { StoredCredentials } from "./stored-credentials.ts";
import type { VerifiedCredentials } from "./verified-credentials.ts";
import { configuredLogin, isBehind, type Login, subjectsOf, type Verified } from "./verified-credentials.ts";

/** The answer to a credential that is not valid; the log of a device shows it. */
export const INVALID_LOGIN = "the authorization header holds no valid user and password, and no valid token";

/** The caller of a method, and from where. */
export type Caller = Readonly<{
  principal: Principal;
  /** The login that the principal was found by: one for all calls and watches of a credential. */
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
 * where the store does not answer. `signal` is the caller's: a check that every caller has left reads the store no more. A credential that is known is answered for at once: a storm of returning devices is let in without promises.
 */
export type Authenticate = (headers: CallHeaders, peer: string, seen?: Seen, signal?: CallerSignal) => Caller | Promise<Caller>;

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
  generations: Pick<AccessGenerations, "current" | "mark" | "isNamedSince">;
  clock: Pick<Clock, "monotonic">;
}>;

/** A credential that is to be checked. `id`: of a header; `signal`: of the call that brought it. */
type Asked = Readonly<{ id: string; header: string; peer: string; signal: CallerSignal | undefined }>;

/** Checks credentials: those of the local admin, which need no store, those of the store, and the part token. */
export function createAuthenticate(options: AuthenticateOptions): Authenticate {
  const { enabled, openToOthers = false, clusterKey, admin, stored, verified, failedLogins, generations, clock } = options;
  const key = randomBytes(32).toString("base64");
  const isPartToken = partTokenCheck(clusterKey);
  const isForwarderToken = forwarderTokenCheck(clusterKey);
  const isLocalAdmin = createLocalAdmin(admin, key);
  const adminPrincipal = { kind: "user", name: admin.user, rights: ADMIN_RIGHTS } as const;
  const localAdmin = configuredLogin(adminPrincipal);
  const byPassword = configuredLogin(adminPrincipal, "password");
  const byToken = configuredLogin(adminPrincipal, "token");
  const part = configuredLogin({ kind: "part" });
  /** By credential and address: many calls that come with one new credential at once are one check, and one failed login. */
  const checks = new Map<string, SharedWork<Login>>();

  async function verify(credential: Credential, workFor: WorkFor, signal: AbortSignal): Promise<Verified | undefined> {
    if (!isLocalAdmin(credential)) return stored.verify(credential, workFor, signal);
    return credential.kind === "basic" ? byPassword.verified : byToken.verified;
  }

  /** Re-resolves a credential of an earlier generation; verifies it from scratch if that fails, because it may belong to another caller now. */
  async function verifyAgain(before: Login, credential: Credential, workFor: WorkFor, signal: AbortSignal): Promise<Verified | undefined> {
    return (await stored.again(before.verified, signal)) ?? (await verify(credential, workFor, signal));
  }

  /** Looks a credential up that is not known (any more). */
  async function check(id: string, header: string, peer: string, signal: AbortSignal): Promise<Login> {
    const credential = credentialFrom(header);
    const attempt: Attempt = { address: countedAddress(peer), user: credential.kind === "basic" ? credential.user : undefined };
    // Never held up by the failures of others: what was valid before, and tokens that nobody can guess.
    const before = verified.before(id);
    const isExempt = before !== undefined || (credential.kind === "bearer" && isUnguessable(credential.token));
    const workFor: WorkFor = { standing: failedLogins.hasFailed(attempt) ? "failed" : "clean", network: countedNetwork(peer) };
    const ended = isExempt ? undefined : await failedLogins.begin(attempt);
    let end: AttemptEnd = "unknown";
    try {
      const [mark, readAt] = [generations.mark(), clock.monotonic()];
      const found = before === undefined ? await verify(credential, workFor, signal) : await verifyAgain(before, credential, workFor, signal);
      end = found === undefined ? "invalid" : "valid";
      if (found !== undefined) {
        const isSuspect = generations.isNamedSince(mark, subjectsOf(found));
        return keep({ id, verified: found, generation: mark.generation, readAt, isSuspect, ended: false });
      }
    } catch (error) {
      // An outage turns no known credential away, unless it is known to have changed.
      if (isNebulaError(error, "unavailable") && before !== undefined && !before.isSuspect && verified.isRecent(before)) return before;
      throw error;
    } finally {
      ended?.(end);
    }
    verified.refuse(id);
    if (isExempt) await failedLogins.failed(attempt);
    throw new NebulaError("unauthenticated", INVALID_LOGIN);
  }

  function keep(login: Login): Login {
    // A login from before the present generation is not known to be valid in it. An enrolment token's uses and time are the store's to count.
    if (!isBehind(login, generations.current) && login.verified.principal.kind !== "enrolment") verified.add(login);
    return login;
  }

  function loginOf(header: string | undefined, viaPart: boolean, peer: string, signal: CallerSignal | undefined): Login | Promise<Login> {
    if (!enabled) return localAdmin;
    if (header === undefined || header.trim() === "") {
      if (viaPart) return part;
      throw new NebulaError("unauthenticated", "this call needs an authorization header: Basic with user and password, or Bearer with a token");
    }
    const id = hash("sha256", key + header, "base64");
    const known = verified.get(id);
    if (known !== undefined) return known;
    return checked({ id, header, peer, signal }, undefined);
  }

  /**
   * Checks a credential, once for all calls that bring it meanwhile. The result of a check from before the call may be older than the end of the
   * credential: where that was named since, it is checked again.
   * @param before the check that is too old
   */
  function checked(asked: Asked, before: SharedWork<Login> | undefined): Promise<Login> {
    const { id, header, peer, signal } = asked;
    const checkId = `${id} ${countedAddress(peer)}`;
    const running = checks.get(checkId);
    if (running !== undefined && running !== before && !running.abandoned) {
      const joined = running.join(signal?.());
      return before === undefined ? joined.then((login) => (login.isSuspect ? checked(asked, running) : login)) : joined;
    }
    const started = new SharedWork((whileWanted) => check(id, header, peer, whileWanted));
    checks.set(checkId, started);
    void started.ended.then(() => {
      if (checks.get(checkId) === started) checks.delete(checkId);
    });
    return started.join(signal?.());
  }

  return (headers, peer, seen, signal) => {
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
    const login = loginOf(headers.header("authorization"), viaPart, from.peer, signal);
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
