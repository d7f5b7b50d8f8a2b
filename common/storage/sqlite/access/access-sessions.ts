import { NebulaError } from "../../../errors/nebula-error.ts";
import type { ChangeOutcome, CreateSessionOutcome, SessionTokens, StoredSession } from "../../access-store.ts";
import { decodeTimePosition, encodePosition } from "../../page.ts";
import { integer, optional, pageOfRows, type Row, text } from "../statements.ts";
import type { AccessDatabase } from "./access-database.ts";

const SESSION = "id, token_hash, user, bound_to, made_from, created_at, expires_at";
/** How many sessions one call of expireSessions removes at most: SQLite has the event loop to itself meanwhile. */
const EXPIRED_PER_CALL = 500;

/** Sessions of users. */
export function createAccessSessions(database: AccessDatabase): SessionTokens {
  const { prepare, attempt, change } = database;
  const insert = prepare(`INSERT INTO session (${SESSION}) VALUES (?, ?, ?, ?, ?, ?, ?)`);
  const select = prepare(`SELECT ${SESSION} FROM session WHERE id = ?`);
  const selectOldest = prepare("SELECT id FROM session WHERE user = ? AND id <> ? ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?");
  const where = (condition: string) =>
    prepare(
      `SELECT ${SESSION} FROM session WHERE ${condition} (created_at, id) < (?, ?) AND expires_at > ? ORDER BY created_at DESC, id DESC LIMIT ?`,
    );
  const selectAll = where("");
  const selectOfUser = where("user = ? AND");
  const drop = prepare("DELETE FROM session WHERE id = ?");
  const expire = prepare(
    `DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < ? ORDER BY expires_at LIMIT ${EXPIRED_PER_CALL})`,
  );

  return {
    async createSession({ id, tokenHash, user, boundTo, madeFrom, createdAt, expiresAt }, most) {
      return change("write a session", (): CreateSessionOutcome => {
        if (select.get(id) !== undefined) throw new NebulaError("already_exists", "this session is there already");
        insert.run(id, tokenHash, user, boundTo, madeFrom, Math.trunc(createdAt), Math.trunc(expiresAt));
        const ended = selectOldest.all(user, id, most - 1).map((row) => text(row, "id"));
        for (const oldest of ended) drop.run(oldest);
        return { kind: "done", ended };
      });
    },

    async session(id) {
      return attempt("read a session", () => optional(select.get(id), sessionOf));
    },

    async listSessions({ user, nowMs }, { after, limit }) {
      const [createdAt, id] = after === undefined ? [Number.MAX_SAFE_INTEGER, ""] : decodeTimePosition("sessions", after);
      const rest = [createdAt, id, Math.trunc(nowMs), limit + 1];
      return attempt("list sessions", () =>
        pageOfRows(user === undefined ? selectAll.iterate(...rest) : selectOfUser.iterate(user, ...rest), limit, sessionOf, (session) =>
          encodePosition("sessions", [session.createdAt, session.id]),
        ),
      );
    },

    async deleteSession(id) {
      return change("end a session", (): ChangeOutcome => (drop.run(id).changes > 0 ? "done" : "absent"));
    },

    async expireSessions(beforeMs) {
      return change("remove sessions that have expired", () => Number(expire.run(Math.floor(beforeMs)).changes));
    },
  };
}

function sessionOf(row: Row): StoredSession {
  return {
    id: text(row, "id"),
    tokenHash: text(row, "token_hash"),
    user: text(row, "user"),
    boundTo: text(row, "bound_to"),
    madeFrom: text(row, "made_from"),
    createdAt: integer(row, "created_at"),
    expiresAt: integer(row, "expires_at"),
  };
}
