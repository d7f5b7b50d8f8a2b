import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { systemClock } from "../../clock/system-clock.ts";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { silentLog } from "../../log/log.ts";
import { CONFIG_DATABASE, openDrivers, STORES } from "../../open-drivers.ts";
import { endWithTests } from "../../testing/end-with-tests.ts";
import { readHistory } from "../../testing/read-all.ts";
import type { ConfigStore, EntityKey } from "../config-store.ts";
import { isDeletedAt, membersAt } from "./durability-writer.ts";

const KILLS = process.env.NEBULA_TEST_LONG === "1" ? 20 : 3;
const WRITER = join(import.meta.dirname, "durability-writer.ts");

/** By kind and name: every acknowledged revision with its body. */
type Acknowledged = Map<string, { key: EntityKey; bodies: Map<bigint, string> }>;

const open = (dataDir: string) =>
  openDrivers(STORES, {
    settings: { dataDir, store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:", cacheTimeMs: 10_000, reportTtlMs: 93_600_000 },
    clock: systemClock,
    log: silentLog,
  });

/** Lets a process write until it has acknowledged that many writes, and kills it while it goes on; answers how many had come through by then. */
async function writeUntilKilled(dataDir: string, writes: number, acknowledged: Acknowledged): Promise<number> {
  const writer = endWithTests(spawn(process.execPath, [WRITER, dataDir], { stdio: ["ignore", "pipe", "inherit"] }));
  const exited = once(writer, "exit");
  let count = 0;
  try {
    for await (const line of createInterface({ input: writer.stdout })) {
      if (!line.endsWith("}")) continue; // the kill cut it off
      const { kind, name, revision, body } = JSON.parse(line);
      const known = acknowledged.get(`${kind}/${name}`) ?? { key: { kind, name }, bodies: new Map() };
      acknowledged.set(`${kind}/${name}`, known);
      assert.equal(known.bodies.has(BigInt(revision)), false, `revision ${revision} of ${kind} ${name} was given twice`);
      known.bodies.set(BigInt(revision), body);
      count++;
      if (count === 1) await assert.rejects(open(dataDir), (error) => isNebulaError(error, "failed_precondition"), "the writer has the folder");
      if (count === writes) writer.kill("SIGKILL");
    }
  } finally {
    writer.kill("SIGKILL");
  }
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  return count;
}

async function checkName(store: ConfigStore, key: EntityKey, bodies: ReadonlyMap<bigint, string>): Promise<bigint> {
  const history = await readHistory(store, key);
  const newest = await store.get(key);
  const head = newest?.revision ?? 0n;
  assert.deepEqual(newest, history[0], `${key.name} is what its newest history row says`);
  assert.deepEqual(
    history.map(({ revision }) => revision),
    Array.from({ length: Math.min(Number(head), 1000) }, (_, i) => head - BigInt(i)),
    `the history of ${key.name} holds each of the newest 1000 revisions once`,
  );
  const found = new Map(history.map(({ revision, changedBy }) => [revision, changedBy]));
  for (const [revision, body] of bodies) {
    assert.ok(revision <= head, `${key.name} went back from ${revision}, which was acknowledged, to ${head}`);
    if (revision > head - 1000n) assert.equal(found.get(revision), body, `${key.name} at ${revision} was acknowledged`);
  }
  for (const { body, changedBy, deleted, revision } of history) {
    assert.equal(Buffer.from(body).toString(), changedBy.repeat(50));
    assert.equal(deleted, isDeletedAt(revision));
  }
  return head;
}

async function checkStore(dataDir: string, acknowledged: Acknowledged): Promise<void> {
  {
    await using drivers = await open(dataDir); // the killed process's lock went with it
    const groups = new Map<string, readonly string[]>();
    for (const { key, bodies } of acknowledged.values()) {
      const revision = await checkName(drivers.configStore, key, bodies);
      if (key.kind === "device_group") groups.set(key.name, membersAt(revision));
    }
    for (let i = 0; i < 7; i++) {
      const naming = [...groups].filter(([, apps]) => apps.includes(`app-${i}`)).map(([name]) => name);
      assert.deepEqual(await drivers.configStore.groupsNaming("app", `app-${i}`), naming.sort());
    }
  }
  const database = new DatabaseSync(join(dataDir, CONFIG_DATABASE));
  assert.deepEqual({ ...database.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
  database.close();
}

describe("durability of the sqlite store", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "nebula-durability-"));
  after(() => rmSync(dataDir, { recursive: true }));

  it(`the sqlite store has every acknowledged write, and no revision twice, after ${KILLS} kills in the middle of writes`, async function () {
    this.timeout(10_000 * KILLS);
    const acknowledged: Acknowledged = new Map();
    let total = 0;
    for (let kill = 0; kill < KILLS; kill++) {
      total += await writeUntilKilled(dataDir, 20 + Math.floor(Math.random() * 300), acknowledged);
      await checkStore(dataDir, acknowledged);
    }
    assert.ok(total >= 20 * KILLS);
  });
});
