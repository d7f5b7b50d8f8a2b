/**
 * Sessions of users: a row each, which ends by itself, and rows of two lists, of its user and of all.
 *
 * S1 A session counts by its row alone, which is made and removed by conditional writes: no clock decides between them.
 * S2 The rows of the lists are put before the session's own and removed after it, so a session that counts is listed.
 *    An id is never given again, so a row that is removed stays removed: PUT_LISTED is older than DROP_LISTED.
 * S3 A user has at most the number of sessions that it may: a call that makes one ends the oldest besides, after its own is
 *    listed. The last of several who make one at once sees those of all.
 */
import { NebulaError } from "../../../errors/nebula-error.ts";
import type { ChangeOutcome, CreateSessionOutcome, SessionTokens, StoredSession } from "../../access-store.ts";
import { integer, type Row, text } from "../connection/rows.ts";
import type { AccessPartition, Change, ReadKind } from "./access-partition.ts";
import { ALL, type ListByTime, newestFirst } from "./newest-first.ts";

type Signal = AbortSignal | undefined;
/** A row of the lists. */
type Listed = Pick<StoredSession, "id" | "user" | "createdAt">;

const COLUMNS = "id, token_hash, user, bound_to, made_from, created_at, expires_at";
const SELECT = `SELECT ${COLUMNS} FROM session WHERE id = ?`;
const CREATE = `INSERT INTO session (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?`;
const DELETE = "DELETE FROM session WHERE id = ? IF EXISTS";
const PUT_LISTED = "INSERT INTO session_list (owner, created_at, id) VALUES (?, ?, ?) USING TIMESTAMP 1 AND TTL ?";
const DROP_LISTED = "DELETE FROM session_list USING TIMESTAMP 2 WHERE owner = ? AND created_at = ? AND id = ?";
const LIST = "SELECT created_at, id FROM session_list WHERE owner = ? AND (created_at, id) < (?, ?)";
const LIST_OF = "SELECT created_at, id FROM session_list WHERE owner = ?";

/** Seconds that the rows of a session outlast it: the clock of a reader may be behind. */
const LONGER_S = 3600;

export function createAccessSessions(partition: AccessPartition): SessionTokens {
  async function readSession(id: string, kind: ReadKind, signal: Signal): Promise<StoredSession | undefined> {
    const [row] = await partition.rows("session", { cql: SELECT, params: [id] }, kind, signal);
    return row === undefined ? undefined : sessionOf(row);
  }

  const listKeys = ({ id, user, createdAt }: Listed) => [ALL, user].map((owner) => [owner, BigInt(Math.trunc(createdAt)), id]);

  /** Ends sessions; `refused`: all of them had ended. A call that was cut finds what is left by the rows of the lists. */
  async function end(sessions: readonly Listed[], signal: Signal): Promise<Change> {
    let ended: Change = "refused";
    for (const { id } of sessions) {
      const isMine = async () => (await readSession(id, "serial_read", signal)) === undefined;
      const change = await partition.change("session", [{ cql: DELETE, params: [id] }], isMine, signal);
      if (change === "unknown") return "unknown";
      if (change !== "refused") ended = change;
    }
    await partition.client.executeMany(DROP_LISTED, sessions.flatMap(listKeys), { table: "session_list", kind: "write", signal }); // S2
    return ended;
  }

  /** S3 */
  async function endOldest({ id, user }: StoredSession, most: number, signal: Signal): Promise<CreateSessionOutcome> {
    const rows = await partition.rows("session_list", { cql: LIST_OF, params: [user] }, "read", signal);
    const others = rows.map((row) => ({ id: text(row, "id"), user, createdAt: integer(row, "created_at") })).filter((other) => other.id !== id);
    const oldest = others.slice(most - 1);
    if (oldest.length > 0 && (await end(oldest, signal)) === "unknown") return { kind: "unknown" };
    return { kind: "done", ended: oldest.map((each) => each.id) };
  }

  async function createSession(session: StoredSession, most: number, signal: Signal): Promise<CreateSessionOutcome> {
    const { id, tokenHash, user, boundTo, madeFrom, createdAt, expiresAt } = session;
    const ttl = Math.max(0, Math.ceil((expiresAt - createdAt) / 1000)) + LONGER_S; // by the times that it has: the clock of this process says nothing of them
    const listed = listKeys(session).map((key) => [...key, ttl]);
    await partition.client.executeMany(PUT_LISTED, listed, { table: "session_list", kind: "write", signal }); // S2
    const times = [BigInt(Math.trunc(createdAt)), BigInt(Math.trunc(expiresAt))];
    const isMine = async () => (await readSession(id, "serial_read", signal))?.tokenHash === tokenHash;
    const query = { cql: CREATE, params: [id, tokenHash, user, boundTo, madeFrom, ...times, ttl] };
    const created = await partition.change("session", [query], isMine, signal);
    if (created === "unknown") return { kind: "unknown" };
    if (created === "refused" && !(await isMine())) throw new NebulaError("already_exists", "this session is there already");
    return endOldest(session, most, signal);
  }

  async function deleteSession(id: string, signal: Signal): Promise<ChangeOutcome> {
    const session = await readSession(id, "serial_read", signal);
    const change = await end(session === undefined ? [] : [session], signal);
    if (change === "unknown") return "unknown";
    return change === "applied" ? "done" : "absent";
  }

  return {
    createSession,
    session: (id, signal) => readSession(id, "read", signal),

    listSessions({ user = ALL, nowMs }, page, signal) {
      const list: ListByTime<StoredSession> = {
        name: "sessions",
        table: "session_list",
        before: (createdAt, id) => ({ cql: LIST, params: [user, createdAt, id] }),
        async read(ids) {
          const keys = ids.map((id) => [id]);
          const answers = await partition.client.executeMany(SELECT, keys, { table: "session", kind: "read", signal });
          return answers.flatMap(([row]) => (row === undefined ? [] : [sessionOf(row)])).filter(({ expiresAt }) => expiresAt > nowMs);
        },
      };
      return newestFirst(partition, list, page, signal);
    },

    deleteSession,

    async expireSessions() {
      return 0; // their TTL ends them
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
