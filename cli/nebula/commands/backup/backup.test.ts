import { strict as assert } from "node:assert";
import { lstat, mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { isNebulaError } from "../../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../../common/log/log.ts";
import { ACCESS_DATABASE, CONFIG_DATABASE, openDrivers, REPORT_DATABASE, STORES } from "../../../../common/open-drivers.ts";
import { resolveSettings } from "../../../../common/settings/resolve-settings.ts";
import { device, enrolment, groupWrite, userWrite } from "../../../../common/storage/contracts/access-store-samples.ts";
import { AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import { backup } from "./backup.ts";

describe("nebula backup", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "nebula-backup-"));
  });
  after(() => rm(folder, { recursive: true }));

  const settingsOf = (dataDir: string) =>
    resolveSettings({ command: "backup", args: [], env: { NEBULA_DATA: dataDir }, readFile: () => "" }).settings;
  const open = (dataDir: string) => openDrivers(STORES, { settings: settingsOf(dataDir), clock: systemClock, log: silentLog });
  const printed: string[] = [];
  const io = {
    env: {},
    readFile: () => "",
    write: () => {},
    print: (line: string) => void printed.push(line),
    complain: () => {},
    terminal: false,
    openTerminal: async () => undefined,
  };
  const run = (dataDir: string, to: string) => backup({ settings: settingsOf(dataDir), own: new Map([["to", to]]), io });

  it("a backup holds the rights and the audit log as of the moment it is made while the server runs", async () => {
    const [data, copy] = [join(folder, "data"), join(folder, "copy")];
    {
      await using drivers = await open(data);
      const { accessStore } = drivers;
      await accessStore.writeUser(userWrite("ann", 0n));
      await accessStore.writeUserGroup(groupWrite("staff", 0n, { members: ["ann"] }));
      await accessStore.createEnrolment(enrolment("e1", { usesLeft: 2 }));
      await accessStore.enrol(device("d1"));
      await accessStore.appendAudit([create(AuditEntrySchema, { who: "ann", outcome: "OK" })]);
      assert.equal(await run(data, copy), 0);
      await accessStore.writeUser(userWrite("late", 0n));
    }
    assert.deepEqual((await readdir(copy)).sort(), [ACCESS_DATABASE, CONFIG_DATABASE, REPORT_DATABASE].sort());
    assert.equal((await stat(join(copy, ACCESS_DATABASE))).mode & 0o777, 0o600);
    assert.match(printed[0] ?? "", /access\.db/);
    await using restored = await open(copy);
    const { accessStore } = restored;
    assert.deepEqual(
      (await accessStore.listUsers({ limit: 10 })).items.map(({ name }) => name),
      ["ann"],
    );
    assert.equal((await accessStore.groupsOf("ann"))[0]?.name, "staff");
    assert.equal((await accessStore.enrolmentByTokenHash(enrolment("e1").tokenHash))?.usesLeft, 1);
    assert.equal((await accessStore.deviceByTokenHash(device("d1").tokenHash))?.deviceId, "d1");
    assert.equal((await accessStore.listAudit({}, { limit: 10 })).items[0]?.who, "ann");
  });

  it("a backup takes the folder of an older version, which has no access store yet, and never overwrites", async () => {
    const data = join(folder, "older");
    await (await open(data))[Symbol.asyncDispose]();
    for (const suffix of ["", "-wal", "-shm"]) await rm(join(data, `${ACCESS_DATABASE}${suffix}`), { force: true });
    const to = join(folder, "older-copy");
    assert.equal(await run(data, to), 0);
    assert.deepEqual((await readdir(to)).sort(), [CONFIG_DATABASE, REPORT_DATABASE].sort());
    await assert.rejects(run(data, to), (error) => isNebulaError(error, "already_exists"));
  });

  it("a backup is in a folder of its owner alone, and writes through no link in its way", async () => {
    const [data, elsewhere] = [join(folder, "linked"), join(folder, "elsewhere")];
    await (await open(data))[Symbol.asyncDispose]();
    await mkdir(elsewhere);
    await symlink(elsewhere, join(folder, "first.partial"));
    assert.equal(await run(data, join(folder, "first")), 0);
    assert.equal((await lstat(join(folder, "first"))).mode & 0o777, 0o700);
    assert.ok((await lstat(join(folder, "first"))).isDirectory());
    for (const name of await readdir(join(folder, "first"))) assert.equal((await lstat(join(folder, "first", name))).mode & 0o777, 0o600, name);
    await symlink(join(folder, "nowhere"), join(folder, "second"));
    await assert.rejects(run(data, join(folder, "second")));
    assert.deepEqual(await readdir(elsewhere), []);
    assert.ok(!(await readdir(folder)).some((name) => name === "nowhere" || name.endsWith(".partial")));
  });
});
