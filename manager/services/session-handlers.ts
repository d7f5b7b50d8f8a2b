import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { withoutPort } from "../../common/access/caller-address.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { assertNoViolations, invalidArgument, NebulaError } from "../../common/errors/nebula-error.ts";
import type { ChangeFeed } from "../../common/feed/change-feed.ts";
import type { Log } from "../../common/log/log.ts";
import { withoutMapping } from "../../common/net/address.ts";
import { type AccessStore, ENDED_AS_OLDEST, type StoredSession } from "../../common/storage/access-store.ts";
import { noSuch } from "../../common/text/no-such.ts";
import { shown } from "../../common/text/wording.ts";
import { sessionIdViolations } from "../../common/validation/device-requests.ts";
import { pageOf } from "../../common/validation/list-request.ts";
import { type AccessService, SessionCredential } from "../../gen/nebula/v1/access_pb.ts";
import { createBuckets } from "../access/limits/buckets.ts";
import type { Principal } from "../access/principal.ts";
import { MOST_SESSIONS, madeWith, newSessionToken, type SessionBindings, sessionKey } from "../access/sessions.ts";
import type { ServiceHandlers, UnaryHandler } from "../rpc/call-context.ts";

/**
 * A user may make 30 sessions in a row on each manager, then one a minute: each is a few writes of the store, an entry of
 * the audit log and, where it ends an older one, a message of the feed.
 */
export const NEW_SESSIONS = { inARow: 30, oneMoreMs: 60_000, most: 10_000 };

export type SessionHandlersParts = Readonly<{
  accessStore: Pick<AccessStore, "createSession" | "session" | "listSessions" | "deleteSession" | "getUser">;
  changeFeed: Pick<ChangeFeed, "publish">;
  sessions: SessionBindings;
  /** How long a session lasts, milliseconds. */
  ttlMs: number;
  clock: Clock;
  log: Log;
}>;

type Handlers = Pick<ServiceHandlers<typeof AccessService>, "createSession" | "listSessions" | "deleteSession">;
type User = Extract<Principal, { kind: "user" }>;
type Context = Parameters<UnaryHandler<typeof AccessService.method.createSession>>[1];

/** The methods of AccessService for sessions. Each end of a session is announced after it is stored; open streams end with it. */
export function createSessionHandlers({ accessStore, changeFeed, sessions, ttlMs, clock, log }: SessionHandlersParts): Handlers {
  const newSessions = createBuckets(NEW_SESSIONS, clock);
  const ended = (id: string) => changeFeed.publish({ kind: "access", subject: `session/${id}` });

  /** Throws where the credential of the call makes no session. */
  function bindingOf({ source }: Context): string {
    if (source?.kind === "session")
      throw new NebulaError("permission_denied", "a session makes no other session: log in with user and password, or with a token");
    const boundTo = source === undefined ? undefined : sessions.of(source);
    if (boundTo === undefined) throw new NebulaError("failed_precondition", "authentication is off (NEBULA_AUTH_ENABLED): a call needs no session");
    return boundTo;
  }

  /** Those whose credential has not ended. Each user is read once. */
  async function standing(all: readonly StoredSession[], signal: AbortSignal): Promise<readonly StoredSession[]> {
    const names = [...new Set(all.filter((session) => !sessions.isOfLocalAdmin(session)).map(({ user }) => user))];
    const users = new Map(await Promise.all(names.map(async (name) => [name, await accessStore.getUser(name, signal)] as const)));
    return all.filter((session) => {
      const user = users.get(session.user);
      return sessions.isOfLocalAdmin(session) || (user !== undefined && sessions.isOfUser(session, user));
    });
  }

  return {
    async createSession(_request, context) {
      const { peer, requestId, changed, signal } = context;
      const { name: user } = userOf(context.principal);
      const boundTo = bindingOf(context);
      const retryAfterMs = newSessions(user);
      if (retryAfterMs > 0) {
        const seconds = Math.ceil(retryAfterMs / 1000);
        throw new NebulaError("resource_exhausted", `${shown(user)} has logged in too often: log in again in ${seconds} s`, { retryAfterMs });
      }
      const token = newSessionToken();
      const createdAt = clock.now();
      const session: StoredSession = {
        ...sessionKey(token),
        user,
        boundTo,
        madeFrom: withoutMapping(withoutPort(peer)),
        createdAt,
        expiresAt: createdAt + ttlMs,
      };
      const outcome = await accessStore.createSession(session, MOST_SESSIONS, signal);
      if (outcome.kind === "unknown") throw new NebulaError("unavailable", "the store did not say whether the session is made: log in again");
      changed({ kind: "session", name: session.id, detail: `login with a ${madeWith(session)}, for ${Math.round(ttlMs / 60_000)} minutes` });
      for (const id of outcome.ended) {
        ended(id);
        changed({ kind: "session", name: id, detail: ENDED_AS_OLDEST });
      }
      log.info({ id: session.id, user, requestId }, "session made");
      return { session: sessionMessage(session, undefined), token };
    },

    async listSessions(request, { principal, source, signal }) {
      const page = pageOf(request);
      const { name, rights } = userOf(principal);
      const user = request.user === "" && !rights.admin ? name : request.user;
      if (user !== name && !rights.admin) throw new NebulaError("permission_denied", `${name} may not do this: it needs an admin`);
      const { items, next } = await accessStore.listSessions({ nowMs: clock.now(), ...(user !== "" && { user }) }, page, signal);
      const own = ownSession(source);
      return { sessions: (await standing(items, signal)).map((session) => sessionMessage(session, own)), nextPageToken: next ?? "" };
    },

    async deleteSession(request, { principal, source, requestId, changed, signal }) {
      const id = request.id || ownSession(source);
      if (id === undefined) {
        throw invalidArgument([
          { field: "id", description: "is missing, and this call is not made with a session; use an id from the list of sessions" },
        ]);
      }
      assertNoViolations(sessionIdViolations(id, "id"));
      const { name, rights } = userOf(principal);
      const missing = () => noSuch("session", id, "the list of sessions has those that are valid");
      const session = await accessStore.session(id, signal);
      if (session?.user !== name && !rights.admin) throw missing();
      const outcome = await accessStore.deleteSession(id, signal);
      ended(id);
      if (outcome === "unknown") throw new NebulaError("unavailable", "the store did not say whether the session has ended: end it again");
      if (outcome === "absent") throw missing();
      changed({ kind: "session", name: id, detail: `of ${session?.user ?? "a user"} ended` });
      log.info({ id, by: name, requestId }, "session ended");
      return {};
    },
  };
}

/** The method table lets no other caller in. */
function userOf(principal: Principal): User {
  if (principal.kind !== "user") throw new NebulaError("permission_denied", "only a user has sessions");
  return principal;
}

function ownSession(source: Context["source"]): string | undefined {
  return source?.kind === "session" ? source.session.id : undefined;
}

function sessionMessage(session: StoredSession, own: string | undefined) {
  const { id, user, madeFrom, createdAt, expiresAt } = session;
  return {
    id,
    user,
    madeWith: madeWith(session) === "token" ? SessionCredential.TOKEN : SessionCredential.PASSWORD,
    madeFrom,
    createdAt: timestampFromMs(createdAt),
    expiresAt: timestampFromMs(expiresAt),
    current: id === own,
  };
}
