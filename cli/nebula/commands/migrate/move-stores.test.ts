import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { NebulaError } from "../../../../common/errors/nebula-error.ts";
import {
  device,
  enrolment,
  hashOf,
  NOW_MS,
  session,
  groupWrite as userGroupWrite,
  userWrite,
} from "../../../../common/storage/contracts/access-store-samples.ts";
import { appWrite, groupWrite } from "../../../../common/storage/contracts/config-store-samples.ts";
import type { Movable } from "../../../../common/storage/movable.ts";
import { openSqliteAccessStore } from "../../../../common/storage/sqlite/access/access-store.ts";
import { openSqliteConfigStore } from "../../../../common/storage/sqlite/config-store.ts";
import { openSqliteReportStore } from "../../../../common/storage/sqlite/reports/report-store.ts";
import { sampleReport } from "../../../../common/testing/sample-report.ts";
import { saveReports, storedReport } from "../../../../common/testing/save-reports.ts";
import { AuditEntrySchema } from "../../../../gen/nebula/v1/audit_pb.ts";
import { plainStore } from "../../../../manager/testing/plain-store.ts";
import { type Moved, moveStores, type Stores } from "./move-stores.ts";

const HOUR_MS = 3_600_000;
const KINDS = ["app", "cron_job", "device_group", "user", "user_group", "enrolment_token", "device_token", "audit_entry", "device"];

type Opened = Stores & AsyncDisposable;

async function openEmpty(): Promise<Opened> {
  await using opening = new AsyncDisposableStack();
  const path = ":memory:";
  const configStore = opening.use(await openSqliteConfigStore({ path }));
  const accessStore = opening.use(await openSqliteAccessStore({ path }));
  const reportStore = opening.use(await openSqliteReportStore({ path }));
  const opened = opening.move();
  return { configStore, accessStore, reportStore, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const audit = (name: string, at: number) => create(AuditEntrySchema, { at: timestampFromMs(at), who: "ann", kind: "app", name, outcome: "OK" });
const report = (deviceId: string, seq: bigint, receivedMs: number) => storedReport(sampleReport({ deviceId, seq, receivedMs }));

/** A store with something of each kind: tombstones, a history, a device that was deleted, what has expired. */
async function openFilled(): Promise<Opened> {
  const stores = await openEmpty();
  const { configStore, accessStore, reportStore } = stores;
  await configStore.raiseEpoch(0);
  for (const write of [appWrite("web", 0n), appWrite("web", 1n), appWrite("gone", 0n), appWrite("gone", 1n, { deleted: true, action: "delete" })])
    await configStore.write(write);
  await configStore.write(appWrite("job", 0n, { kind: "cron_job" }));
  await configStore.write(groupWrite("shops", 0n, ["web"], ["job"]));
  await accessStore.writeUser(userWrite("ann", 0n));
  await accessStore.writeUser(userWrite("ann", 1n, { deleted: true }));
  await accessStore.writeUserGroup(userGroupWrite("staff", 0n, { members: ["ann"] }));
  await accessStore.createEnrolment(enrolment("e1", { usesLeft: 5 }));
  for (const id of ["d1", "d2"]) await accessStore.enrol(device(id));
  await accessStore.announceNext(device("d1").tokenHash, hashOf("next"));
  await accessStore.appendAudit([audit("web", NOW_MS), audit("old", NOW_MS - 50 * HOUR_MS), audit("gone", NOW_MS)]);
  await saveReports(reportStore, { reports: [report("d1", 1n, NOW_MS - 50 * HOUR_MS), report("d1", 2n, NOW_MS - 1000), report("d2", 1n, NOW_MS)] });
  await reportStore.deleteDevice("d2");
  return stores;
}

function move(from: Stores, to: Stores, say: (line: string) => void = () => {}): Promise<readonly Moved[]> {
  const { signal } = new AbortController();
  return moveStores({ from, to, now: () => NOW_MS + 1000, reportTtlMs: 26 * HOUR_MS, auditRetentionMs: 48 * HOUR_MS, say, signal });
}

const counts = (moved: readonly Moved[]) => moved.map(({ records }) => records);
const refused = (pattern: RegExp) => (error: unknown) =>
  error instanceof NebulaError && error.kind === "failed_precondition" && pattern.test(error.message);

/** The stores of a process that ends before it puts this record, counted from 0, and those after it. */
function cutBefore(stores: Stores, record: number): Stores {
  let left = record;
  const cut = <R extends Readonly<{ kind: string }>>(records: Movable<R>): Movable<R> => ({
    ...records,
    async adopt(...given) {
      if (left-- <= 0) throw new NebulaError("unavailable", "killed");
      return records.adopt(...given);
    },
  });
  const configStore = plainStore(stores.configStore);
  return {
    configStore: { ...configStore, records: cut(configStore.records) },
    accessStore: { ...stores.accessStore, records: cut(stores.accessStore.records) },
    reportStore: { ...stores.reportStore, records: cut(stores.reportStore.records) },
  };
}

describe("moving a cluster from one store to another", () => {
  let source: Opened;
  let target: Opened;
  beforeEach(async () => {
    [source, target] = [await openFilled(), await openEmpty()];
  });
  afterEach(async () => {
    for (const stores of [source, target]) await stores[Symbol.asyncDispose]();
  });

  it("a move copies every record with its revisions, the identity of the cluster last, and counts them", async () => {
    const lines: string[] = [];
    const moved = await move(source, target, (line) => lines.push(line));
    assert.deepEqual(
      moved.map(({ kind }) => kind),
      KINDS,
    );
    assert.deepEqual(counts(moved), [2, 1, 1, 1, 1, 1, 2, 2, 2]);
    assert.equal(lines[0], "app: 2, of which 2 copied now");
    assert.deepEqual(target.configStore.cluster, source.configStore.cluster);
    assert.equal((await target.configStore.get({ kind: "app", name: "gone" }))?.revision, 2n);
    assert.equal((await target.configStore.history({ kind: "app", name: "web" }, { limit: 9 })).items.length, 2);
    assert.deepEqual(await target.configStore.groupsNaming("app", "web"), ["shops"]);
    assert.equal((await target.accessStore.enrolment("e1"))?.usesLeft, 3);
    assert.equal((await target.accessStore.deviceToken("d1"))?.nextHash, hashOf("next"));
    assert.deepEqual((await target.accessStore.listAudit({}, { limit: 9 })).items, (await source.accessStore.listAudit({}, { limit: 2 })).items);
    assert.equal((await target.reportStore.getDevice("d1"))?.report?.seq, 2n);
    assert.equal((await target.reportStore.statuses(["d2"])).get("d2")?.deleted, true);
    assert.equal((await target.reportStore.listReports({}, { limit: 9 })).items.length, 2);
  });

  it("a move leaves sessions behind, though what they were made with is copied, and those of the source stay", async () => {
    const bob = userWrite("bob", 0n);
    await source.accessStore.writeUser(bob);
    const made = session("s1", { user: bob.name, boundTo: `user_token ${bob.tokenHash}`, createdAt: NOW_MS, expiresAt: NOW_MS + HOUR_MS });
    await source.accessStore.createSession(made, 20);
    const moved = await move(source, target);
    assert.deepEqual([moved.map(({ kind }) => kind), counts(moved)[KINDS.indexOf("user")]], [KINDS, 2]);
    assert.equal((await target.accessStore.userByTokenHash(bob.tokenHash))?.name, bob.name);
    assert.equal(await target.accessStore.session(made.id), undefined);
    assert.deepEqual((await target.accessStore.listSessions({ nowMs: NOW_MS }, { limit: 9 })).items, []);
    assert.deepEqual(await source.accessStore.session(made.id), made);
    assert.deepEqual(counts(await move(source, target)), counts(moved), "a session is not a difference of the two stores");
  });

  it("a second move copies nothing and leaves the identity alone", async () => {
    const moved = await move(source, target);
    let writes = 0;
    const configStore = plainStore(target.configStore);
    const counting = {
      ...configStore,
      becomeCluster(...given: Parameters<typeof configStore.becomeCluster>) {
        writes++;
        return configStore.becomeCluster(...given);
      },
    };
    assert.deepEqual(counts(await move(source, { ...cutBefore(target, 0), configStore: counting })), counts(moved));
    assert.equal(writes, 0);
  });

  it("a move back brings what was changed since", async () => {
    await move(source, target);
    await target.configStore.write(appWrite("web", 2n));
    await target.accessStore.appendAudit([audit("newer", NOW_MS)]);
    await using back = await openEmpty();
    assert.deepEqual(counts(await move(target, back)), [2, 1, 1, 1, 1, 1, 2, 3, 2]);
    assert.equal((await back.configStore.get({ kind: "app", name: "web" }))?.revision, 3n);
    assert.equal((await back.accessStore.listAudit({}, { limit: 1 })).items[0]?.name, "newer");
  });

  it("a move that was cut before any of its records continues there, and until its end the target has no epoch to run with", async () => {
    let cuts = 0;
    for (let ended = false; !ended; cuts++) {
      assert.ok(cuts < 30, "the move ends");
      await using to = await openEmpty();
      ended = await move(source, cutBefore(to, cuts)).then(
        () => true,
        () => false,
      );
      if (!ended) assert.deepEqual(to.configStore.cluster, { id: source.configStore.cluster.id, epoch: 0n });
      const moved = await move(source, to);
      assert.deepEqual(counts(moved), [2, 1, 1, 1, 1, 1, 2, 2, 2]);
      assert.deepEqual(to.configStore.cluster, source.configStore.cluster);
      if (!ended)
        assert.equal(
          moved.reduce((sum, { copied }) => sum + copied, 0),
          13 - cuts,
        );
    }
    assert.equal(cuts, 14); // one for each of the 13 records, and the move that was not cut
  });

  it("a target that is another cluster with data of any kind is refused, and stays as it was", async () => {
    const fillers: readonly ((stores: Stores) => Promise<unknown>)[] = [
      ({ configStore }) => configStore.write(appWrite("other", 0n)),
      ({ configStore }) => configStore.write(groupWrite("other", 0n, [])),
      ({ accessStore }) => accessStore.writeUser(userWrite("bob", 0n)),
      ({ accessStore }) => accessStore.createEnrolment(enrolment("e9")),
      ({ accessStore }) => accessStore.appendAudit([audit("other", NOW_MS)]),
      ({ reportStore }) => saveReports(reportStore, { reports: [report("d9", 1n, NOW_MS)] }),
    ];
    for (const fill of fillers) {
      await using other = await openEmpty();
      await fill(other);
      const before = other.configStore.cluster;
      await assert.rejects(
        move(source, other),
        refused(/the target is cluster [0-9a-f]{32}, and holds data already \(\w+ "\w+"\): use an empty folder/),
      );
      assert.deepEqual(other.configStore.cluster, before);
      assert.equal(await other.configStore.get({ kind: "app", name: "web" }), undefined);
    }
  });

  it("a target or a source that was used since an earlier move is refused, and nothing is written", async () => {
    await move(source, target);
    const identity = target.configStore.cluster;
    await target.accessStore.writeUserGroup(userGroupWrite("staff", 1n));
    await assert.rejects(
      move(source, target),
      refused(/holds other data of this cluster \(user_group "staff"\): the cluster was moved there before/),
    );
    await assert.rejects(move(target, source), refused(/holds other data of this cluster \(user_group "staff"\)/));
    assert.deepEqual(target.configStore.cluster, identity);
    assert.equal((await target.accessStore.getUserGroup("staff"))?.revision, 2n);
  });

  it("a move whose source changed since it was cut is refused", async () => {
    await assert.rejects(move(source, cutBefore(target, 9)), /killed/);
    await source.configStore.write(appWrite("web", 2n));
    await assert.rejects(move(source, target), refused(/\(app "web"\): the source changed since the move was cut/));
    assert.equal(target.configStore.cluster.epoch, 0n);
  });

  /** The stores with a component that runs on them from the given look on, counted from 1. */
  function withComponent(stores: Stores, fromLook: number): Stores {
    let looks = 0;
    const configStore: Stores["configStore"] = {
      ...plainStore(stores.configStore),
      runningComponents: async () => (++looks >= fromLook ? ["manager on host-1 (process 7)"] : []),
    };
    return { ...stores, configStore };
  }
  const runs = refused(/components run on this store \(manager on host-1 \(process 7\)\): stop each of them/);

  it("a move is refused while a component runs on the source or the target, and writes nothing", async () => {
    const identity = target.configStore.cluster;
    await assert.rejects(move(withComponent(source, 1), target), runs);
    await assert.rejects(move(source, withComponent(target, 1)), runs);
    assert.deepEqual(target.configStore.cluster, identity);
    assert.equal(await target.configStore.get({ kind: "app", name: "web" }), undefined);
  });

  it("a move during which a component was started on the source or the target fails, and the target gets no epoch", async () => {
    await assert.rejects(move(withComponent(source, 2), target), runs);
    assert.equal((await target.configStore.readCluster()).epoch, 0n);
    await assert.rejects(move(source, withComponent(target, 2)), runs);
    assert.equal((await target.configStore.readCluster()).epoch, 0n);
    await move(source, target);
    assert.equal((await target.configStore.readCluster()).epoch, source.configStore.cluster.epoch);
  });

  it("a move fails, and the target gets no epoch, when the source changes while it is copied", async () => {
    const from: Stores = {
      ...source,
      reportStore: {
        ...source.reportStore,
        records: {
          ...source.reportStore.records,
          async *everything(...given) {
            yield* source.reportStore.records.everything(...given);
            await source.configStore.write(appWrite(`late-${randomUUID()}`, 0n));
          },
        },
      },
    };
    await assert.rejects(move(from, target), refused(/the two stores differ after the copy: stop every server on them/));
    assert.equal(target.configStore.cluster.epoch, 0n);
  });
});
