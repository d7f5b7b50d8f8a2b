import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { pathOf } from "../../../../common/rpc/service-definition.ts";
import { type AccessStore, ENDED_AS_OLDEST } from "../../../../common/storage/access-store.ts";
import { createCassandraAccessStore } from "../../../../common/storage/cassandra/access/access-store.ts";
import { freshSamples, NOW_MS } from "../../../../common/storage/contracts/access-store-samples.ts";
import { openSqliteAccessStore } from "../../../../common/storage/sqlite/access/access-store.ts";
import { requireServer } from "../../../../common/testing/servers.ts";
import { createTestKeyspace, type TestKeyspace } from "../../../../common/testing/test-keyspace.ts";
import { AccessService } from "../../../../gen/nebula/v1/access_pb.ts";
import { AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import { UserGroupService } from "../../../../gen/nebula/v1/user_group_pb.ts";
import { UserService } from "../../../../gen/nebula/v1/user_pb.ts";
import { describeRestored, findRestoredCredentials } from "./restored-credentials.ts";

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;
/** When the credentials of these tests ended: within the retention of the audit log, and after they were made. */
const ENDED_MS = Date.now() - HOUR_MS;

describe("credentials that a restore brought back", () => {
  describe("on sqlite", () => {
    describeRestores(async () => openSqliteAccessStore({ path: ":memory:" }));
  });

  describe("on cassandra", function () {
    this.timeout(60_000);
    let keyspace: TestKeyspace;
    before("start Cassandra", async function () {
      keyspace = await createTestKeyspace(await requireServer(this, "cassandra"));
    });
    after(() => keyspace?.[Symbol.asyncDispose]());

    describeRestores(async () => {
      const { client } = keyspace;
      await client.define("TRUNCATE audit");
      return createCassandraAccessStore({ client, clock: systemClock, auditRetentionMs: 24 * HOUR_MS });
    });
  });

  it("restored credentials are listed with the commands that end them, and the moment up to which the log knows", () => {
    const credential = { name: "x", detail: "token revoked", at: Date.UTC(2026, 0, 2), who: "ann" };
    const lines = describeRestored({
      found: [
        { ...credential, kind: "device" },
        { ...credential, kind: "enrolment_token" },
        { ...credential, kind: "user", detail: "delete" },
        { ...credential, kind: "user", detail: "another token" },
        { ...credential, kind: "user_group", detail: "another body" },
      ],
      newestMs: Date.UTC(2026, 0, 3),
    });
    assert.deepEqual(
      lines.slice(1, -1).map((line) => line.trim().split("   # ")[0]),
      [
        "nebulactl devices revoke x",
        "nebulactl devices revoke-enrolment x",
        "nebulactl users delete x",
        "nebulactl users refresh x",
        "nebulactl user-groups update x",
      ],
    );
    assert.match(lines[1] ?? "", /# token revoked, 2026-01-02T00:00:00.000Z, by ann$/);
    assert.match(lines.at(-1) ?? "", /newest change in the audit log of this store is of 2026-01-03T00:00:00.000Z/);
    assert.match(describeRestored({ found: [], newestMs: undefined }).join("\n"), /^the audit log of this store is empty/);
  });
});

function describeRestores(open: () => Promise<AccessStore>): void {
  const method = AccessService.method;

  /** An entry as a manager leaves it. */
  function entry(
    path: Parameters<typeof pathOf>[0],
    kind: string,
    name: string,
    more: { detail?: string; before?: bigint; after?: bigint; at?: number } = {},
  ) {
    const { detail = "", before = 0n, after = 0n, at = ENDED_MS } = more;
    const fields = { method: pathOf(path), kind, name, detail, revisionBefore: before, revisionAfter: after };
    return create(AuditEntrySchema, { who: "ann", outcome: "OK", at: timestampFromMs(at), ...fields });
  }

  it("restored credentials are devices, enrolment tokens, sessions, users and user_groups that the audit log has as ended, and no other", async () => {
    await using store = await open();
    const { n, device, enrolment, session, userWrite, groupWrite } = freshSamples();
    const lives = { createdAt: NOW_MS, expiresAt: Date.now() + HOUR_MS };
    await store.createEnrolment(enrolment("e1", { ...lives, usesLeft: 3 }));
    const [returned, later, gone] = [n("returned"), n("later"), n("gone")];
    await store.enrol(device("returned"));
    await store.enrol(device("later", { nowMs: ENDED_MS + 1 }));
    await store.createEnrolment(enrolment("used-up", { ...lives, usesLeft: 0 }));
    await store.createEnrolment(enrolment("expired", { createdAt: NOW_MS, expiresAt: Date.now() - 1 }));
    await store.createEnrolment(enrolment("ended", lives));
    await store.revokeEnrolment(enrolment("ended").id);
    await store.createSession(session("s1", lives), 20);
    await store.createSession(session("s2", { createdAt: NOW_MS, expiresAt: Date.now() - 1 }), 20);
    for (const id of ["oldest", "newest"]) await store.createSession(session(id, lives), 20);
    await store.writeUser(userWrite("deleted-once", 0n));
    await store.writeUser(userWrite("other-token", 0n));
    await store.writeUser(userWrite("as-the-log-says", 0n));
    await store.writeUser(userWrite("as-the-log-says", 1n));
    await store.writeUserGroup(groupWrite("more-rights", 0n));
    const delivered = UserService.method.updateUser;
    await store.appendAudit([
      entry(delivered, "user", n("as-the-log-says"), { before: 1n, after: 2n, detail: "another token", at: ENDED_MS - 1 }),
      ...[returned, later, gone].map((name) => entry(method.revokeDeviceToken, "device", name, { detail: "token revoked" })),
      ...["e1", "used-up", "expired", "ended"].map((id) =>
        entry(method.revokeEnrolmentToken, "enrolment_token", enrolment(id).id, { detail: "revoked" }),
      ),
      ...["s1", "s2", "s3"].map((id) => entry(method.deleteSession, "session", session(id).id, { detail: "of ann ended" })),
      entry(method.createSession, "session", session("newest").id, { detail: "login with a token, for 720 minutes" }),
      entry(method.createSession, "session", session("oldest").id, { detail: ENDED_AS_OLDEST }),
      entry(delivered, "user", n("deleted-once"), { before: 1n, after: 2n, detail: "another password" }),
      entry(UserService.method.deleteUser, "user", n("deleted-once"), { before: 2n, after: 3n, detail: "delete", at: ENDED_MS - 1 }), // by a slower clock
      entry(delivered, "user", n("other-token"), { before: 1n, after: 2n, detail: "another token" }),
      entry(UserService.method.createUser, "user", n("never-back"), { before: 0n, after: 1n }),
      entry(UserGroupService.method.updateUserGroup, "user_group", n("more-rights"), { before: 1n, after: 2n, detail: "another body" }),
      entry(method.rotateDeviceToken, "device", n("rotated"), { detail: "next token announced", at: ENDED_MS + 5 }),
    ]);
    const refused = entry(method.revokeDeviceToken, "device", later, { at: ENDED_MS + 9 });
    refused.outcome = "PERMISSION_DENIED";
    await store.appendAudit([refused]);

    const sessions = [
      { id: session("s1").id, detail: "of ann ended" },
      { id: session("oldest").id, detail: ENDED_AS_OLDEST },
    ].toSorted((one, other) => (one.id < other.id ? -1 : 1)); // by hashes
    const { found, newestMs } = await findRestoredCredentials(store, Date.now(), signal);
    assert.deepEqual(
      found.map(({ kind, name, detail, at, who }) => [kind, name, detail, at, who]),
      [
        ["device", returned, "token revoked", ENDED_MS, "ann"],
        ["enrolment_token", enrolment("e1").id, "revoked", ENDED_MS, "ann"],
        ...sessions.map(({ id, detail }) => ["session", id, detail, ENDED_MS, "ann"]),
        ["user", n("deleted-once"), "delete", ENDED_MS - 1, "ann"],
        ["user", n("other-token"), "another token", ENDED_MS, "ann"],
        ["user_group", n("more-rights"), "another body", ENDED_MS, "ann"],
      ],
    );
    assert.equal(newestMs, ENDED_MS + 5);
  });

  it("restored credentials are found on every page of a long log", async () => {
    await using store = await open();
    const { n, device, enrolment } = freshSamples();
    await store.createEnrolment(enrolment("e1", { usesLeft: 1, createdAt: NOW_MS, expiresAt: Date.now() + HOUR_MS }));
    await store.enrol(device("first"));
    await store.appendAudit([entry(method.revokeDeviceToken, "device", n("first"), { at: ENDED_MS - 10_000 })]);
    const more = Array.from({ length: 2_500 }, (_, i) => entry(method.rotateDeviceToken, "device", n(`d${i}`), { at: ENDED_MS + i }));
    await store.appendAudit(more);
    const { found, newestMs } = await findRestoredCredentials(store, Date.now(), signal);
    assert.deepEqual(
      found.map(({ name }) => name),
      [n("first")],
    );
    assert.equal(newestMs, ENDED_MS + 2_499);
  });

  it("restored credentials are an empty list without a moment while the log is empty", async () => {
    await using store = await open();
    assert.deepEqual(await findRestoredCredentials(store, Date.now(), signal), { found: [], newestMs: undefined });
  });
}
