/**
 * The process that the durability test kills: it writes to a data folder without end, many writers at once, and prints a line for each write when it is
 * acknowledged: {"kind","name","revision","body"}. Usage: node durability-writer.ts FOLDER
 */
import { randomUUID } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { systemClock } from "../../clock/system-clock.ts";
import { silentLog } from "../../log/log.ts";
import { openDrivers, STORES } from "../../open-drivers.ts";
import type { ConfigStore, EntityKey } from "../config-store.ts";

const NAMES = 10;
const WRITERS_PER_NAME = 3;

/** Of a name at a revision: the apps that a group names (none when it is deleted), so that the test can tell what the lookup has to say. */
export function membersAt(revision: bigint): readonly string[] {
  return isDeletedAt(revision) ? [] : [`app-${revision % 7n}`, `app-${revision % 5n}`];
}

/** Every tenth revision is a delete, and the next one creates the name again. */
export function isDeletedAt(revision: bigint): boolean {
  return revision % 10n === 0n;
}

async function writeWithoutEnd(store: ConfigStore, key: EntityKey): Promise<never> {
  for (;;) {
    const [expected = 0n] = await store.revisions([key]);
    await nextTurn(); // so that the writers of a name get in each other's way
    const revision = expected + 1n;
    const body = randomUUID();
    const outcome = await store.write({
      ...key,
      expected,
      revision,
      deleted: isDeletedAt(revision),
      body: Buffer.from(body.repeat(50)),
      action: isDeletedAt(revision) ? "delete" : "update",
      changedAt: systemClock.now(),
      changedBy: body,
      ...(key.kind === "device_group" ? { members: { apps: membersAt(revision), cronJobs: [] } } : {}),
    });
    if (outcome.kind === "written") process.stdout.write(`${JSON.stringify({ ...key, revision: String(revision), body })}\n`);
  }
}

const [, script, dataDir] = process.argv;
if (script === import.meta.filename && dataDir !== undefined) {
  const { configStore } = await openDrivers(STORES, {
    settings: { dataDir, store: "sqlite:", reports: "sqlite:", redis: "memory:", bus: "memory:", cacheTimeMs: 10_000, reportTtlMs: 93_600_000 },
    clock: systemClock,
    log: silentLog,
  });
  const keys = Array.from(
    { length: NAMES },
    (_, i): EntityKey => (i % 2 === 0 ? { kind: "app", name: `app-${i}` } : { kind: "device_group", name: `group-${i}` }),
  );
  await Promise.all(keys.flatMap((key) => Array.from({ length: WRITERS_PER_NAME }, () => writeWithoutEnd(configStore, key))));
}
