import { strict as assert } from "node:assert";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "./clock/manual-clock.ts";
import { systemClock } from "./clock/system-clock.ts";
import { isNebulaError } from "./errors/nebula-error.ts";
import { createLog, silentLog } from "./log/log.ts";
import { CONFIG_DATABASE, type DriverSettings, GATEWAY_DRIVERS, MANAGER_DRIVERS, openDrivers } from "./open-drivers.ts";
import { backupSqlite } from "./storage/sqlite/backup.ts";
import { openSqliteConfigStore } from "./storage/sqlite/config-store.ts";
import { freePort } from "./testing/free-port.ts";

describe("openDrivers", () => {
  const root = mkdtempSync(join(tmpdir(), "nebula-drivers-"));
  let folders = 0;
  const newFolder = () => join(root, String(folders++), "data");
  after(() => rmSync(root, { recursive: true }));

  const open = (dataDir: string, other: Partial<DriverSettings> = {}) =>
    openDrivers(MANAGER_DRIVERS, {
      settings: {
        dataDir,
        store: "sqlite:",
        reports: "sqlite:",
        redis: "memory:",
        bus: "memory:",
        cacheTimeMs: 10_000,
        reportTtlMs: 93_600_000,
        ...other,
      },
      clock: new ManualClock(),
      log: silentLog,
    });
  const failedWith = (pattern: RegExp) => (error: unknown) => isNebulaError(error) && pattern.test(error.message);

  it("openDrivers warns of a folder that others may write to, and of files in it that others may read, and of no other", async () => {
    const lines: string[] = [];
    const log = createLog({ level: "warn", part: "drivers", destination: { write: (line: string) => void lines.push(line) } });
    const dataDir = newFolder();
    const settings = {
      dataDir,
      store: "sqlite:",
      reports: "sqlite:",
      redis: "memory:",
      bus: "memory:",
      cacheTimeMs: 10_000,
      reportTtlMs: 93_600_000,
    };
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

  it("openDrivers takes no symbolic link for its lock or for a store, and makes no file through one", async () => {
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

  it("openDrivers opens the embedded drivers in a folder that it makes, and finds the same store there again", async () => {
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

  it("openDrivers lets one process have a data folder, which can be backed up meanwhile", async () => {
    const dataDir = newFolder();
    await using drivers = await open(dataDir);
    await assert.rejects(open(dataDir), failedWith(/in use by another Nebula process.*NEBULA_DATA/));
    const copy = join(root, "copy.db");
    await backupSqlite(join(dataDir, CONFIG_DATABASE), copy);
    await using copied = await openSqliteConfigStore({ path: copy });
    assert.deepEqual(copied.cluster, drivers.configStore.cluster);
  });

  it("openDrivers opens the drivers that a component uses and nothing else: without a store of files there is no folder and no lock", async () => {
    const dataDir = newFolder();
    const settings = {
      dataDir,
      store: "cassandra://h/k",
      reports: "cassandra://h/k",
      redis: "memory:",
      bus: "kafka://h/t",
      cacheTimeMs: 10_000,
      reportTtlMs: 93_600_000,
    };
    await using gateway = await openDrivers(GATEWAY_DRIVERS, { settings, clock: new ManualClock(), log: silentLog });
    assert.deepEqual(Object.keys(gateway), ["changeFeed"]);
    assert.equal(existsSync(dataDir), false);
  });

  it("openDrivers releases the folder when a store cannot be opened", async () => {
    const dataDir = newFolder();
    await (await open(dataDir))[Symbol.asyncDispose]();
    const database = join(dataDir, CONFIG_DATABASE);
    writeFileSync(database, "no database ".repeat(100));
    await assert.rejects(open(dataDir), failedWith(/damaged/));
    rmSync(database);
    await using _ = await open(dataDir);
  });

  it("openDrivers opens a report bus on Kafka while no broker answers, and refuses reports and other URLs of Kafka with the fault", async () => {
    const refused = `kafka://127.0.0.1:${await freePort()}/nebula-reports`;
    await using drivers = await openDrivers(["reportBus"], {
      settings: {
        dataDir: newFolder(),
        store: "sqlite:",
        reports: "sqlite:",
        redis: "memory:",
        bus: refused,
        cacheTimeMs: 10_000,
        reportTtlMs: 93_600_000,
      },
      clock: systemClock,
      log: silentLog,
    });
    const giveUp = AbortSignal.timeout(300);
    await assert.rejects(drivers.reportBus.publish({ key: "device-1", value: new Uint8Array(1) }, giveUp));
    await assert.rejects(open(newFolder(), { bus: "kafka://host/t?mechanism=gssapi" }), failedWith(/^NEBULA_BUS: .*Kerberos is not supported/));
    await assert.rejects(open(newFolder(), { bus: "kafka://host/t?user=nebula" }), failedWith(/^NEBULA_BUS: .*set NEBULA_BUS_PASSWORD/));
  });

  it("openDrivers says which setting names an unknown driver, and what to use, without a password", async () => {
    const dataDir = newFolder();
    const cases: [Partial<DriverSettings>, RegExp][] = [
      [{ store: "mysql://user:hunter2@host/keyspace" }, /^NEBULA_STORE: this version has no driver for mysql:; use sqlite:/],
      [{ reports: "mysql://host/keyspace" }, /^NEBULA_REPORTS: .*no driver for mysql:; use sqlite:/],
      [{ redis: "memcached://:hunter2@host:11211" }, /^NEBULA_REDIS: .*no driver for memcached:; use memory:/],
      [{ bus: "nats://host:4222" }, /^NEBULA_BUS: .*no driver for nats:; use memory: or kafka:\/\/$/],
      [{ store: "sqlite:/elsewhere/nebula.db" }, /^NEBULA_STORE: .*NEBULA_DATA/],
    ];
    for (const [setting, message] of cases) {
      await assert.rejects(open(dataDir, setting), (error) => failedWith(message)(error) && !String(error).includes("hunter2"));
    }
  });

  it("openDrivers says when the data folder cannot be made", async () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    await assert.rejects(open(join(file, "data")), failedWith(/^NEBULA_DATA: /));
  });
});
