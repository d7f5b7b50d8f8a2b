import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { describeAccessStore } from "../../contracts/access-store-contract.ts";
import { NOW_MS, session } from "../../contracts/access-store-samples.ts";
import { openSqliteAccessStore } from "./access-store.ts";

describe("sqlite", () => {
  const folder = mkdtempSync(join(tmpdir(), "nebula-access-"));
  let files = 0;
  const newPath = () => join(folder, `${files++}.db`);
  after(() => rmSync(folder, { recursive: true }));

  describeAccessStore("sqlite", async () => {
    const path = newPath();
    const store = await openSqliteAccessStore({ path });
    return {
      store,
      reopen: async () => {
        await store[Symbol.asyncDispose]();
        return openSqliteAccessStore({ path });
      },
    };
  });

  it("sessions that have expired are removed, a bounded number per call, and those that have not stay", async () => {
    await using store = await openSqliteAccessStore({ path: newPath() });
    await store.createSession(session("valid", { expiresAt: NOW_MS }), 2000);
    for (let i = 0; i < 501; i++) await store.createSession(session(`s${i}`, { expiresAt: NOW_MS - 1 }), 2000);
    const removed = [await store.expireSessions(NOW_MS), await store.expireSessions(NOW_MS), await store.expireSessions(NOW_MS)];
    assert.deepEqual(removed, [500, 1, 0]);
    assert.deepEqual((await store.listSessions({ nowMs: 0 }, { limit: 10 })).items, [session("valid", { expiresAt: NOW_MS })]);
  });

  it("the access store answers `unavailable` when the file cannot be used any more", async () => {
    const store = await openSqliteAccessStore({ path: newPath() });
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    for (const call of [
      () => store.stamp(),
      () => store.getUser("ann"),
      () => store.revokeDeviceToken("d"),
      () => store.listAudit({}, { limit: 1 }),
    ]) {
      await assert.rejects(call(), (error) => isNebulaError(error, "unavailable"));
    }
  });
});
