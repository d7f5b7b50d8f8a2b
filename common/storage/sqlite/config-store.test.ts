import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { describeConfigStore } from "../config-store-contract.ts";
import { backupSqlite } from "./backup.ts";
import { openSqliteConfigStore } from "./config-store.ts";
import { lockFolder } from "./folder-lock.ts";
import { openDatabase } from "./open-database.ts";

describe("sqlite", () => {
  const folder = mkdtempSync(join(tmpdir(), "nebula-store-"));
  let files = 0;
  const newPath = () => join(folder, `${files++}.db`);
  after(() => rmSync(folder, { recursive: true }));

  describeConfigStore("sqlite", async () => {
    const path = newPath();
    const store = await openSqliteConfigStore({ path });
    return {
      store,
      reopen: async () => {
        await store[Symbol.asyncDispose]();
        return openSqliteConfigStore({ path });
      },
    };
  });

  it("syncs every commit to the disk", () => {
    const database = openDatabase(newPath(), []);
    assert.deepEqual({ ...database.prepare("PRAGMA synchronous").get() }, { synchronous: 2 });
    assert.deepEqual({ ...database.prepare("PRAGMA journal_mode").get() }, { journal_mode: "wal" });
    database.close();
  });

  it("refuses a file of a newer version, and one that is no database, and says what would do", async () => {
    const newer = newPath();
    openDatabase(newer, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).close();
    assert.throws(
      () => openDatabase(newer, ["CREATE TABLE a (x)"]),
      (error) => isNebulaError(error, "failed_precondition") && /newer Nebula/.test(error.message),
    );
    const broken = newPath();
    writeFileSync(broken, "this is no database, and long enough to be looked at as one".repeat(20));
    await assert.rejects(
      openSqliteConfigStore({ path: broken }),
      (error) => isNebulaError(error, "failed_precondition") && /backup/.test(error.message),
    );
  });

  it("makes files that only their owner can read, and says when a folder is missing", () => {
    const path = newPath();
    const database = openDatabase(path, ["CREATE TABLE a (x)"]);
    for (const suffix of ["", "-wal", "-shm"]) assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
    database.close();
    assert.throws(
      () => openDatabase(join(folder, "missing", "a.db"), []),
      (error) => isNebulaError(error, "unavailable") && /folder has to exist/.test(error.message),
    );
  });

  it("brings an older schema to the newest, keeping what it holds, or leaves it when that fails", () => {
    const path = newPath();
    const older = openDatabase(path, ["CREATE TABLE a (x)"]);
    older.exec("INSERT INTO a VALUES (7)");
    older.close();
    assert.throws(() => openDatabase(path, ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y; INSERT INTO nowhere VALUES (1)"]), isNebulaError);
    const newer = openDatabase(path, ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y DEFAULT 8"]);
    assert.deepEqual({ ...newer.prepare("SELECT x, y FROM a").get() }, { x: 7, y: 8 });
    newer.close();
  });

  it("keeps nothing of a replaced body in its files", async () => {
    const path = newPath();
    await using store = await openSqliteConfigStore({ path });
    const change = { deleted: false, action: "update", changedAt: 0, changedBy: "a" } as const;
    for (let expected = 0n; expected < 50n; expected++) {
      const body = Buffer.from(`hunter2-${"x".repeat(10_000)}`);
      await store.write({ kind: "app", name: `app-${expected % 3n}`, expected: expected / 3n, revision: expected / 3n + 1n, body, ...change });
    }
    const files = () => ["", "-wal"].map((suffix) => readFileSync(path + suffix, "latin1")).join("");
    assert.match(files(), /hunter2/);
    assert.equal(await store.rewriteBodies(() => Buffer.from("other")), 53);
    assert.doesNotMatch(files(), /hunter2/);
  });

  it("lets one process have a data folder", () => {
    const lock = lockFolder(folder);
    assert.throws(
      () => lockFolder(folder),
      (error) => isNebulaError(error, "failed_precondition") && /in use/.test(error.message),
    );
    lock[Symbol.dispose]();
    lockFolder(folder)[Symbol.dispose]();
  });

  it("backs up a store that is being written to, whole, and never overwrites", async () => {
    const path = newPath();
    await using store = await openSqliteConfigStore({ path });
    const write = (i: number) =>
      store.write({
        kind: "app",
        name: `app-${i}`,
        expected: 0n,
        revision: 1n,
        deleted: false,
        body: Buffer.alloc(2000, i),
        action: "create",
        changedAt: 0,
        changedBy: "a",
      });
    for (let i = 0; i < 200; i++) await write(i);
    const copy = newPath();
    const copying = backupSqlite(path, copy);
    for (let i = 200; i < 300; i++) await write(i);
    await copying;
    await using copied = await openSqliteConfigStore({ path: copy });
    assert.deepEqual(copied.cluster, store.cluster);
    const { items } = await copied.list("app", { limit: 1000 });
    assert.ok(items.length >= 200);
    const numbers = items.map(({ name }) => Number(name.slice("app-".length))).sort((a, b) => a - b);
    assert.deepEqual(
      numbers,
      numbers.map((_, i) => i),
      "the store at one moment",
    );
    assert.equal(statSync(copy).mode & 0o777, 0o600);
    await assert.rejects(backupSqlite(path, copy), (error) => isNebulaError(error, "already_exists"));
  });
});
