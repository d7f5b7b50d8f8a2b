import { strict as assert } from "node:assert";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ManualClock } from "./clock/manual-clock.ts";
import { isNebulaError } from "./errors/nebula-error.ts";
import { createLog, silentLog } from "./log/log.ts";
import { CONFIG_DATABASE, type DriverSettings, GATEWAY_DRIVERS, MANAGER_DRIVERS, openDrivers } from "./open-drivers.ts";
import { backupSqlite } from "./storage/sqlite/backup.ts";
import { openSqliteConfigStore } from "./storage/sqlite/config-store.ts";

describe("openDrivers", () => {
  const root = mkdtempSync(join(tmpdir(), "nebula-drivers-"));
  let folders = 0;
  const newFolder = () => join(root, String(folders++), "data");
  after(() => rmSync(root, { recursive: true }));

  const open = (dataDir: string, other: Partial<DriverSettings> = {}) =>
    openDrivers(MANAGER_DRIVERS, {
      settings: { dataDir, store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:", cacheTimeMs: 10_000, ...other },
      clock: new ManualClock(),
      log: silentLog,
    });
  const failedWith = (pattern: RegExp) => (error: unknown) => isNebulaError(error) && pattern.test(error.message);

  it("warns of a folder that others may write to, and of files there that others may read, and of no other", async () => {
    const lines: string[] = [];
    const log = createLog({ level: "warn", part: "drivers", destination: { write: (line: string) => void lines.push(line) } });
    const dataDir = newFolder();
    const settings = { dataDir, store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:", cacheTimeMs: 10_000 };
    const openLogged = () => openDrivers(MANAGER_DRIVERS, { settings, clock: new ManualClock(), log });
    await (await openLogged())[Symbol.asyncDispose]();
    assert.deepEqual(lines, []);
    writeFileSync(join(dataDir, "admin-password"), "a password");
    chmodSync(join(dataDir, "admin-password"), 0o604);
    chmodSync(join(dataDir, CONFIG_DATABASE), 0o660);
    chmodSync(dataDir, 0o777);
    await (await openLogged())[Symbol.asyncDispose]();
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)).map(({ folder, file, mode }) => [folder ?? file, mode]),
      [
        [dataDir, "777"],
        [join(dataDir, CONFIG_DATABASE), "660"],
        [join(dataDir, "admin-password"), "604"],
      ],
    );
  });

  it("takes no symbolic link for its lock or for a store, and makes no file through one", async () => {
    for (const name of ["lock.db", CONFIG_DATABASE]) {
      const dataDir = newFolder();
      const elsewhere = join(root, `elsewhere-${name}`);
      mkdirSync(dataDir, { recursive: true });
      symlinkSync(elsewhere, join(dataDir, name));
      await assert.rejects(open(dataDir), failedWith(new RegExp(name)));
      assert.equal(existsSync(elsewhere), false);
    }
    const dataDir = newFolder();
    const elsewhere = join(root, "another-lock");
    mkdirSync(dataDir, { recursive: true });
    writeFileSync(elsewhere, "");
    symlinkSync(elsewhere, join(dataDir, "lock.db"));
    await assert.rejects(open(dataDir), failedWith(/symbolic link/));
    assert.equal(statSync(elsewhere).size, 0);
  });

  it("opens the embedded drivers in a folder that it makes, and finds the same store there again", async () => {
    const dataDir = newFolder();
    const first = await open(dataDir);
    const { cluster } = first.configStore;
    assert.equal(first.membership.alone, true);
    assert.equal(statSync(dataDir).mode & 0o777, 0o700);
    await first[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await using second = await open(dataDir);
    assert.deepEqual(second.configStore.cluster, cluster);
  });

  it("lets one process have a data folder, which can be backed up meanwhile", async () => {
    const dataDir = newFolder();
    await using drivers = await open(dataDir);
    await assert.rejects(open(dataDir), failedWith(/in use by another Nebula process.*NEBULA_DATA/));
    const copy = join(root, "copy.db");
    await backupSqlite(join(dataDir, CONFIG_DATABASE), copy);
    await using copied = await openSqliteConfigStore({ path: copy });
    assert.deepEqual(copied.cluster, drivers.configStore.cluster);
  });

  it("opens what a component uses and nothing else: without a store of files there is no folder and no lock", async () => {
    const dataDir = newFolder();
    const settings = { dataDir, store: "cassandra://h/k", reports: "cassandra://h/k", redis: "memory:", bus: "kafka://h/t", cacheTimeMs: 10_000 };
    await using gateway = await openDrivers(GATEWAY_DRIVERS, { settings, clock: new ManualClock(), log: silentLog });
    assert.deepEqual(Object.keys(gateway), ["changeFeed"]);
    assert.equal(existsSync(dataDir), false);
  });

  it("gives the folder free when a store can't be opened", async () => {
    const dataDir = newFolder();
    await (await open(dataDir))[Symbol.asyncDispose]();
    const database = join(dataDir, CONFIG_DATABASE);
    writeFileSync(database, "no database ".repeat(100));
    await assert.rejects(open(dataDir), failedWith(/damaged/));
    rmSync(database);
    await using _ = await open(dataDir);
  });

  it("refuses Kafka, and the page on moving promises nothing else", async () => {
    await assert.rejects(open(newFolder(), { bus: "kafka://old:9092/nebula-reports" }), failedWith(/NEBULA_BUS.*no driver for kafka:/));
    const page = readFileSync(fileURLToPath(new URL("../docs/moving-from-the-original.md", import.meta.url)), "utf8");
    const paragraphs = page.split(/\n(?=\n|\d\. |- )/).filter((paragraph) => /kafka/i.test(paragraph));
    assert.ok(paragraphs.length > 0);
    for (const paragraph of paragraphs) assert.match(paragraph.replaceAll(/\s+/g, " "), /driver for Kafka is not built in/);
  });

  it("says which setting names a driver that is not there, what would do, and no password", async () => {
    const dataDir = newFolder();
    const cases: [Partial<DriverSettings>, RegExp][] = [
      [{ store: "cassandra://user:hunter2@host/keyspace" }, /^NEBULA_STORE: this version has no driver for cassandra:; use sqlite:$/],
      [{ reports: "cassandra://host/keyspace" }, /^NEBULA_REPORTS: .*sqlite:/],
      [{ redis: "redis://:hunter2@host:6379" }, /^NEBULA_REDIS: .*no driver for redis:; use memory:$/],
      [{ bus: "kafka://host:9092/topic" }, /^NEBULA_BUS: .*no driver for kafka:; use memory:$/],
      [{ store: "sqlite:/elsewhere/nebula.db" }, /^NEBULA_STORE: .*NEBULA_DATA/],
    ];
    for (const [setting, message] of cases) {
      await assert.rejects(open(dataDir, setting), (error) => failedWith(message)(error) && !String(error).includes("hunter2"));
    }
  });

  it("says when the data folder can't be made", async () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    await assert.rejects(open(join(file, "data")), failedWith(/^NEBULA_DATA: /));
  });
});
