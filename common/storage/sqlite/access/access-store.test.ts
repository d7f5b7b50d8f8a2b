import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../../../errors/nebula-error.ts";
import { describeAccessStore } from "../../contracts/access-store-contract.ts";
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
