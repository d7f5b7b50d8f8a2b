import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { NebulaError } from "../../../common/errors/nebula-error.ts";
import type { AccessStore, AuditFilter } from "../../../common/storage/access-store.ts";
import { openSqliteAccessStore } from "../../../common/storage/sqlite/access/access-store.ts";
import { AuditEntrySchema } from "../../../gen/nebula/v1/audit_pb.ts";
import { CHANGES_MS, ChangesLog, LATE_MS, MOST_CHANGES, MOST_PAGES } from "./changes-log.ts";

const NOW_MS = Date.UTC(2026, 0, 1);
const { signal } = new AbortController();

/** The log of a store in memory. `asked`: the filters of its reads; `put` stores updates of apps, by their names. */
async function startLog() {
  const clock = new ManualClock(NOW_MS);
  const store = await openSqliteAccessStore({ path: ":memory:" });
  const asked: AuditFilter[] = [];
  let failure: NebulaError | undefined;
  const listAudit: AccessStore["listAudit"] = async (filter, ...rest) => {
    asked.push(filter);
    if (failure !== undefined) throw failure;
    return store.listAudit(filter, ...rest);
  };
  const log = new ChangesLog({ accessStore: { listAudit }, clock });
  return {
    clock,
    asked,
    log,
    names: () => log.changes.map(({ name }) => name),
    put: (names: readonly string[], atMs = clock.now()) =>
      store.appendAudit(
        names.map((name) =>
          create(AuditEntrySchema, { at: timestampFromMs(atMs), kind: "app", name, revisionBefore: 1n, revisionAfter: 2n, outcome: "OK" }),
        ),
      ),
    failWith(error: NebulaError | undefined) {
      failure = error;
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

describe("the changes of the last hour", () => {
  it("L1: the log reads the hour once, then only what came since, with entries that came late", async () => {
    await using rig = await startLog();
    const { clock, log } = rig;
    await rig.put(["old"], NOW_MS - CHANGES_MS / 2);
    assert.equal(await log.read(signal), true);
    await clock.advance(1000);
    assert.equal(await log.read(signal), false, "nothing changed");
    await rig.put(["new"]);
    await rig.put(["late"], NOW_MS - LATE_MS / 2);
    assert.equal(await log.read(signal), true);
    assert.deepEqual(rig.names(), ["new", "late", "old"]);
    assert.deepEqual(
      rig.asked.map(({ fromMs }) => fromMs),
      [NOW_MS - CHANGES_MS, NOW_MS - LATE_MS, NOW_MS + 1000 - LATE_MS],
    );
    assert.equal(await log.read(signal), false, "each change is there once");
  });

  it("L1: changes leave the log after an hour, and a clock that was set back hides none", async () => {
    await using rig = await startLog();
    const { clock, log } = rig;
    await rig.put(["first"]);
    await log.read(signal);
    await clock.advance(CHANGES_MS / 2);
    await rig.put(["second"]);
    await log.read(signal);
    assert.deepEqual(rig.names(), ["second", "first"]);
    clock.setWall(NOW_MS + 1);
    await rig.put(["after"]);
    await log.read(signal);
    assert.deepEqual(rig.names(), ["second", "after", "first"]);
    await clock.advance(CHANGES_MS);
    assert.equal(await log.read(signal), true);
    assert.deepEqual(rig.names(), ["second", "after"]);
  });

  it("L1: a read that failed changes nothing, and the next one asks for the same", async () => {
    await using rig = await startLog();
    await rig.put(["web"]);
    await rig.log.read(signal);
    await rig.clock.advance(10 * LATE_MS);
    await rig.put(["pos"], NOW_MS + LATE_MS);
    rig.failWith(new NebulaError("unavailable", "the store is away"));
    await assert.rejects(rig.log.read(signal), /away/);
    assert.deepEqual(rig.names(), ["web"]);
    rig.failWith(undefined);
    await rig.log.read(signal);
    assert.deepEqual(rig.names(), ["pos", "web"]);
  });

  it("L2: a store that goes through many entries of refused calls is asked for few pages, and changes beyond them are said to be unknown for an hour", async () => {
    const clock = new ManualClock(NOW_MS);
    let pages = 0;
    const listAudit: AccessStore["listAudit"] = async ({ fromMs = 0 }) => {
      pages++;
      return { items: [], next: fromMs < NOW_MS - LATE_MS ? String(pages) : undefined }; // empty pages of all but the newest entries
    };
    const log = new ChangesLog({ accessStore: { listAudit }, clock });
    assert.equal(await log.read(signal), true);
    assert.deepEqual([pages, log.hasMore], [MOST_PAGES, true]);
    assert.equal(await log.read(signal), false);
    assert.deepEqual([pages, log.hasMore], [MOST_PAGES + 1, true], "the second read asks for the newest entries alone");
    await clock.advance(CHANGES_MS + 1);
    assert.equal(await log.read(signal), true);
    assert.equal(log.hasMore, false);
  });

  it("L2: the log has the newest changes, and says that there are more until those are older than an hour", async () => {
    await using rig = await startLog();
    const { clock, log } = rig;
    await rig.put(["lost"]);
    await clock.advance(1000);
    await rig.put(Array.from({ length: MOST_CHANGES }, (_, index) => `app-${index}`));
    await log.read(signal);
    assert.deepEqual([log.changes.length, log.hasMore, rig.names().includes("lost")], [MOST_CHANGES, true, false]);
    await clock.advance(2 * LATE_MS);
    await rig.put(["newest"]);
    await log.read(signal);
    assert.deepEqual([log.changes.length, log.hasMore, rig.names()[0]], [MOST_CHANGES, true, "newest"]);
    await clock.advance(CHANGES_MS - LATE_MS);
    await log.read(signal);
    assert.deepEqual([rig.names(), log.hasMore], [["newest"], false]);
  });
});
