import { strict as assert } from "node:assert";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readAll } from "../../testing/read-all.ts";
import type { AccessStore } from "../access-store.ts";
import { freshSamples, NOW_MS } from "./access-store-samples.ts";

const HOUR_MS = 3_600_000;

/** The contract of AccessStore for sessions. */
export function describeSessions(storeOf: () => AccessStore): void {
  describe("sessions", () => {
    let store: AccessStore;
    let { n, session } = freshSamples();
    beforeEach(() => {
      store = storeOf();
      ({ n, session } = freshSamples());
    });
    const listed = async (filter: { user?: string; nowMs?: number } = {}, limit = 1000) => {
      const all = await readAll((page) => store.listSessions({ nowMs: NOW_MS, ...filter }, page), limit);
      return all.filter(({ user }) => n.isOwn(user));
    };

    it("a session is read back as made, by its id", async () => {
      assert.equal(await store.session(session("s1").id), undefined);
      assert.deepEqual(await store.createSession(session("s1"), 20), { kind: "done", ended: [] });
      assert.deepEqual(await store.session(session("s1").id), session("s1"));
      assert.equal(await store.session(session("s2").id), undefined);
    });

    it("a session whose id is used is refused, and the one before stays", async () => {
      await store.createSession(session("s1"), 20);
      const other = { ...session("s1"), tokenHash: session("s2").tokenHash, user: n("eve") };
      await assert.rejects(store.createSession(other, 20), (error) => isNebulaError(error, "already_exists"));
      assert.deepEqual(await store.session(session("s1").id), session("s1"));
    });

    it("sessions that have not expired are listed, newest first, of one user or of all, page by page", async () => {
      const made = Array.from({ length: 12 }, (_, i) => session(`s${i}`, { user: i % 3 === 0 ? "bob" : "ann", createdAt: NOW_MS + i }));
      for (const one of made) await store.createSession(one, 20);
      await store.createSession(session("expired", { createdAt: NOW_MS - HOUR_MS, expiresAt: NOW_MS }), 20);
      const newestFirst = made.toReversed();
      assert.deepEqual(await listed({}, 5), newestFirst);
      for (const user of ["ann", "bob"]) {
        const own = newestFirst.filter((one) => one.user === n(user));
        assert.ok(own.length >= 4);
        assert.deepEqual(await listed({ user: n(user) }, 3), own);
      }
      assert.deepEqual(await listed({ user: n("eve") }), []);
    });

    it("a session that is ended is found and listed no more", async () => {
      for (const id of ["s1", "s2"]) await store.createSession(session(id), 20);
      for (const outcome of ["done", "absent"] as const) assert.equal(await store.deleteSession(session("s1").id), outcome);
      assert.equal(await store.session(session("s1").id), undefined);
      assert.deepEqual(await listed(), [session("s2")]);
      assert.deepEqual(await listed({ user: n("ann") }), [session("s2")]);
    });

    it("a session renews no stamp, neither as it is made, nor as it ends, nor as it ends the oldest of its user (A1)", async () => {
      const before = await store.stamp();
      for (let index = 0; index < 3; index++) {
        const outcome = await store.createSession(session(`s${index}`, { createdAt: NOW_MS + index }), 2);
        assert.deepEqual(outcome, { kind: "done", ended: index < 2 ? [] : [session("s0").id] });
      }
      assert.equal(await store.deleteSession(session("s1").id), "done");
      assert.equal(await store.stamp(), before);
    });

    it("a user has at most the number of sessions that it may: one more ends the oldest, and none of another user", async () => {
      await store.createSession(session("of bob", { user: "bob", createdAt: NOW_MS - 1 }), 3);
      for (const [index, ended] of [[], [], [], ["s0"], ["s1"]].entries()) {
        const outcome = await store.createSession(session(`s${index}`, { createdAt: NOW_MS + index }), 3);
        assert.deepEqual(outcome, { kind: "done", ended: ended.map((id) => session(id).id) });
      }
      assert.equal(await store.session(session("s1").id), undefined);
      const left = ["s4", "s3", "s2"].map((id) => session(id).id);
      assert.deepEqual(
        (await listed({ user: n("ann") })).map(({ id }) => id),
        left,
      );
      assert.equal((await listed({ user: n("bob") })).length, 1);
    });

    it("a new session stays, though the clock of its maker is behind and those before look newer", async () => {
      for (const id of ["s1", "s2"]) await store.createSession(session(id, { createdAt: NOW_MS + HOUR_MS }), 2);
      const outcome = await store.createSession(session("behind", { createdAt: NOW_MS }), 2);
      assert.equal(outcome.kind === "done" && outcome.ended.length, 1);
      assert.equal((await store.session(session("behind").id))?.user, n("ann"));
      assert.equal((await listed()).length, 2);
    });

    it("a user has at most that number of sessions after many were made at once", async () => {
      await Promise.all(Array.from({ length: 10 }, (_, i) => store.createSession(session(`s${i}`, { createdAt: NOW_MS + i }), 4)));
      const left = await listed({ user: n("ann") });
      assert.ok(left.length >= 1 && left.length <= 4, `${left.length} sessions`);
    });
  });
}
