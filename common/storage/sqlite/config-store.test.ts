import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isNebulaError } from "../../errors/nebula-error.ts";
import type { WriteOutcome } from "../config-store.ts";
import { describeConfigStore } from "../contracts/config-store-contract.ts";
import { backupSqlite } from "./backup.ts";
import { openSqliteConfigStore } from "./config-store.ts";
import { lockFolder } from "./folder-lock.ts";
import { inTransaction, knownOrUnknown, openDatabase } from "./open-database.ts";

describe("sqlite", () => {
  const folder = mkdtempSync(join(tmpdir(), "nebula-store-"));
  let files = 0;
  const newPath = () => join(folder, `${files++}.db`);
  after(() => rmSync(folder, { recursive: true }));

  describeConfigStore("sqlite", async () => {
    const path = newPath();
    const store = await openSqliteConfigStore({ path });
    return { store, reopen: () => openSqliteConfigStore({ path }) };
  });

  it("the sqlite store syncs every commit to the disk", () => {
    const database = openDatabase(newPath(), []);
    assert.deepEqual({ ...database.prepare("PRAGMA synchronous").get() }, { synchronous: 2 });
    assert.deepEqual({ ...database.prepare("PRAGMA journal_mode").get() }, { journal_mode: "wal" });
    database.close();
  });

  it("the sqlite store refuses a file of a newer version, and one that is not a database, and says how to continue", async () => {
    const newer = newPath();
    openDatabase(newer, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"]).close();
    assert.throws(
      () => openDatabase(newer, ["CREATE TABLE a (x)"]),
      (error) => isNebulaError(error, "failed_precondition") && /newer Nebula/.test(error.message),
    );
    const broken = newPath();
    writeFileSync(broken, "this is not a database, and long enough to be looked at as one".repeat(20));
    await assert.rejects(
      openSqliteConfigStore({ path: broken }),
      (error) => isNebulaError(error, "failed_precondition") && /backup/.test(error.message),
    );
  });

  it("the sqlite store answers a commit that fails as an unknown outcome, and an error of the work as it is", () => {
    const database = openDatabase(newPath(), [
      "CREATE TABLE a (x PRIMARY KEY REFERENCES a (x) DEFERRABLE INITIALLY DEFERRED, y REFERENCES a (x) DEFERRABLE INITIALLY DEFERRED)",
    ]);
    const insert = (y: number) => () =>
      inTransaction(database, (): WriteOutcome => {
        database.prepare("INSERT INTO a (x, y) VALUES (?, ?)").run(y, y === 1 ? 1 : 99);
        return { kind: "written" };
      });
    assert.deepEqual(knownOrUnknown(insert(2)), { kind: "unknown" });
    assert.deepEqual(knownOrUnknown(insert(1)), { kind: "written" });
    assert.throws(() => knownOrUnknown(insert(1)), /UNIQUE/);
    database.close();
  });

  it("the sqlite store passes an error of the program on unchanged, and answers `unavailable` when the file can't be used any more", async () => {
    const store = await openSqliteConfigStore({ path: newPath() });
    const key = { kind: "app", name: "web" } as const;
    await store.write({
      ...key,
      expected: 0n,
      revision: 1n,
      deleted: false,
      body: Buffer.from("x"),
      action: "create",
      changedAt: 0,
      changedBy: "ann",
    });
    const fault = new TypeError("a fault of the caller");
    await assert.rejects(
      store.rewriteBodies(() => {
        throw fault;
      }),
      (error) => error === fault,
    );
    await store[Symbol.asyncDispose]();
    for (const call of [() => store.get(key), () => store.readCluster(), () => store.revisions([key])])
      await assert.rejects(call(), (error) => isNebulaError(error, "unavailable"));
  });

  it("the sqlite store makes files that only their owner can read, and reports a missing folder", () => {
    const path = newPath();
    const database = openDatabase(path, ["CREATE TABLE a (x)"]);
    for (const suffix of ["", "-wal", "-shm"]) assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
    database.close();
    assert.throws(
      () => openDatabase(join(folder, "missing", "a.db"), []),
      (error) => isNebulaError(error, "unavailable") && /folder has to exist/.test(error.message),
    );
  });

  it("the sqlite store migrates an older schema to the newest and keeps its content, or leaves it when that fails", () => {
    const path = newPath();
    const older = openDatabase(path, ["CREATE TABLE a (x)"]);
    older.exec("INSERT INTO a VALUES (7)");
    older.close();
    assert.throws(() => openDatabase(path, ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y; INSERT INTO nowhere VALUES (1)"]), isNebulaError);
    const newer = openDatabase(path, ["CREATE TABLE a (x)", "ALTER TABLE a ADD COLUMN y DEFAULT 8"]);
    assert.deepEqual({ ...newer.prepare("SELECT x, y FROM a").get() }, { x: 7, y: 8 });
    newer.close();
  });

  it("the sqlite store keeps nothing of a replaced body in its files", async () => {
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

  it("the sqlite store lets one process have a data folder", () => {
    const lock = lockFolder(folder);
    assert.throws(
      () => lockFolder(folder),
      (error) => isNebulaError(error, "failed_precondition") && /in use/.test(error.message),
    );
    lock[Symbol.dispose]();
    lockFolder(folder)[Symbol.dispose]();
  });

  it("the sqlite store backs up while it is written to, whole, and never overwrites", async () => {
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
