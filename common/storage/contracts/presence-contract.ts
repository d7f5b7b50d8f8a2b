import { strict as assert } from "node:assert";
import fc from "fast-check";
import { isNebulaError } from "../../errors/nebula-error.ts";
import { readAll } from "../../testing/read-all.ts";
import { SAMPLE_TIME_MS } from "../../testing/sample-report.ts";
import { PRESENCE_KEPT_MS, type PresenceRow, type PresenceStore, presenceVersion, SHARD_KEPT_MS } from "../presence-store.ts";
import { freshNames, openedOnce } from "./report-store-contract.ts";

type Names = ReturnType<typeof freshNames>;

function presenceRow({ device, group }: Names, given: Partial<PresenceRow> = {}): PresenceRow {
  return { deviceGroup: group("shops"), deviceId: device(1), shardBoot: "b-1", stream: 1, ended: false, atMs: SAMPLE_TIME_MS, ...given };
}

const anyRow = fc.record({
  group: fc.constantFrom("shops", "offices"),
  number: fc.integer({ min: 0, max: 12 }),
  boot: fc.constantFrom("a1", "b2", "c3"),
  stream: fc.integer({ min: 1, max: 5 }),
  ended: fc.boolean(),
});

/** The contract of a PresenceStore. @param runs of each property */
export function describePresenceStore(name: string, open: () => Promise<PresenceStore & AsyncDisposable>, { runs = 25 } = {}): void {
  describe(`presence store ${name}`, () => {
    const opened = openedOnce(open);

    it("a device that never connected has no presence, and a device_group without devices has none", async () => {
      const [store, { device, group }] = [opened(), freshNames()];
      assert.equal((await store.presenceOf([device(1)])).size, 0);
      assert.equal((await store.presenceOf([])).size, 0);
      assert.deepEqual(await store.listPresence(group("shops"), { limit: 10 }), { items: [], next: undefined });
      await store.savePresence([]);
      await store.deletePresence([]);
    });

    it("a row of presence is read back as written, by its device_group and by its device", async () => {
      const [store, names] = [opened(), freshNames()];
      const rows = [
        presenceRow(names),
        presenceRow(names, { shardBoot: "b-2", stream: 2 ** 40, ended: true, atMs: SAMPLE_TIME_MS + 7, workerVersion: "0.9.1" }),
        presenceRow(names, { deviceGroup: names.group("offices"), stream: 3 }),
      ];
      await store.savePresence(rows);
      assert.deepEqual((await store.listPresence(names.group("shops"), { limit: 10 })).items, rows.slice(0, 2));
      assert.deepEqual((await store.listPresence(names.group("offices"), { limit: 10 })).items, rows.slice(2));
      const found = await store.presenceOf([names.device(1), names.device(2), names.device(1)]);
      assert.deepEqual([...found.keys()], [names.device(1)]);
      assert.deepEqual(sorted(found.get(names.device(1)) ?? []), sorted(rows));
    });

    it("of the writes of a row, in any order and however often, the one with the larger stream and end wins; lists have each row once, in every page size", async () => {
      const store = opened();
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyRow, { maxLength: 30 }),
          fc.integer({ min: 1, max: 7 }),
          fc.integer({ min: 1, max: 9 }),
          async (given, limit, batch) => {
            const names = freshNames();
            const rows = given.map(({ group, number, boot, stream, ended }) =>
              presenceRow(names, {
                deviceGroup: names.group(group),
                deviceId: names.device(number),
                shardBoot: boot,
                stream,
                ended,
                atMs: SAMPLE_TIME_MS + stream * 2 + (ended ? 1 : 0),
                ...(stream % 3 > 0 && { workerVersion: `0.9.${stream % 3}` }),
              }),
            );
            for (let from = 0; from < rows.length; from += batch) await store.savePresence(rows.slice(from, from + batch));
            if (rows[0] !== undefined) await store.savePresence([rows[0]]); // late, and again
            const largest = new Map<string, PresenceRow>();
            for (const row of rows) {
              const other = largest.get(keyOf(row));
              if (other === undefined || presenceVersion(other) < presenceVersion(row)) largest.set(keyOf(row), row);
            }
            const expected = sorted([...largest.values()]);
            for (const group of ["shops", "offices"].map(names.group)) {
              const ofGroup = expected.filter(({ deviceGroup }) => deviceGroup === group);
              assert.deepEqual(await readAll((page) => store.listPresence(group, page), limit), ofGroup);
            }
            const found = await store.presenceOf(rows.map(({ deviceId }) => deviceId));
            assert.deepEqual(sorted([...found.values()].flat()), expected);
          },
        ),
        { numRuns: runs },
      );
    });

    it("a row that is removed is gone from the list and from its device, and one that was written newer meanwhile stays", async () => {
      const [store, names] = [opened(), freshNames()];
      const [one, other] = [presenceRow(names, { stream: 5 }), presenceRow(names, { shardBoot: "b-2", stream: 5 })];
      await store.savePresence([one, { ...other, ended: true }]);
      await store.deletePresence([one, other]);
      const left = [{ ...other, ended: true }];
      assert.deepEqual((await store.listPresence(names.group("shops"), { limit: 10 })).items, left);
      assert.deepEqual((await store.presenceOf([names.device(1)])).get(names.device(1)), left);
      await store.savePresence([{ ...one, stream: 6 }]);
      assert.equal((await store.listPresence(names.group("shops"), { limit: 10 })).items.length, 2);
    });

    it("a shard is listed as it was marked last, and an earlier mark changes nothing", async () => {
      const [store, { device }] = [opened(), freshNames()];
      const shard = (number: number, seenMs: number) => ({ boot: device(number), name: `m-${number}`, address: `m-${number}:50051`, seenMs });
      await store.markShard(shard(1, SAMPLE_TIME_MS));
      await store.markShard(shard(2, SAMPLE_TIME_MS + 5));
      await store.markShard(shard(1, SAMPLE_TIME_MS + 10_000));
      await store.markShard(shard(1, SAMPLE_TIME_MS + 9000));
      const listed = await store.listShards();
      assert.deepEqual(
        listed.map(({ boot }) => boot).toSorted(),
        listed.map(({ boot }) => boot),
      );
      const own = listed.filter(({ boot }) => [device(1), device(2)].includes(boot));
      assert.deepEqual(own, [shard(1, SAMPLE_TIME_MS + 10_000), shard(2, SAMPLE_TIME_MS + 5)]);
    });

    it("a page token of presence that the store did not make is refused, by its name", async () => {
      const [store, names] = [opened(), freshNames()];
      const isRefusal = (error: unknown) => isNebulaError(error, "invalid_argument") && error.violations[0]?.field === "page_token";
      for (const after of ["x", "?", "bnVsbA"]) await assert.rejects(store.listPresence(names.group("shops"), { limit: 1, after }), isRefusal, after);
    });

    it("a call with an aborted signal rejects with its reason, and writes nothing", async () => {
      const [store, names] = [opened(), freshNames()];
      const gone = AbortSignal.abort(new Error("the caller has gone"));
      const [row, shard] = [presenceRow(names), { boot: names.device(9), name: "m-9", address: "m-9:1", seenMs: SAMPLE_TIME_MS }];
      await assert.rejects(store.savePresence([row], gone), /the caller has gone/);
      await assert.rejects(store.markShard(shard, gone), /the caller has gone/);
      assert.equal((await store.presenceOf([row.deviceId])).size, 0);
      assert.ok(!(await store.listShards()).some(({ boot }) => boot === shard.boot));
      await store.savePresence([row]);
      await assert.rejects(store.deletePresence([row], gone), /the caller has gone/);
      assert.equal((await store.presenceOf([row.deviceId])).size, 1);
      await assert.rejects(store.listPresence(row.deviceGroup, { limit: 1 }, gone), /the caller has gone/);
      await assert.rejects(store.presenceOf([row.deviceId], gone), /the caller has gone/);
      await assert.rejects(store.listShards(gone), /the caller has gone/);
    });
  });
}

/** The contract of `expirePresence`, of a store without a TTL of its own. */
export function describePresenceExpiry(name: string, open: () => Promise<PresenceStore & AsyncDisposable>): void {
  describe(`presence store ${name} expiry`, () => {
    it("presence of ended watches and of dead boots expires, that of living boots and what is younger stays, a bounded number a call", async () => {
      await using store = await open();
      const names = freshNames();
      const nowMs = SAMPLE_TIME_MS + PRESENCE_KEPT_MS + 1000;
      const shard = (boot: string, seenMs: number) => store.markShard({ boot, name: boot, address: `${boot}:1`, seenMs });
      await shard("living", nowMs - 5000);
      await shard("dead", SAMPLE_TIME_MS);
      await shard("lately", nowMs - SHARD_KEPT_MS + 1000);
      const row = (number: number, shardBoot: string, ended: boolean, atMs = SAMPLE_TIME_MS) =>
        presenceRow(names, { deviceId: names.device(number), shardBoot, ended, atMs });
      await store.savePresence([
        row(1, "dead", false),
        row(2, "dead", true),
        row(3, "living", true),
        row(4, "living", false),
        row(5, "dead", true, nowMs),
      ]);
      assert.equal(await store.expirePresence(nowMs), 4);
      assert.equal(await store.expirePresence(nowMs), 0);
      const left = (await store.listPresence(names.group("shops"), { limit: 10 })).items;
      assert.deepEqual(
        left.map(({ deviceId }) => deviceId),
        [names.device(4), names.device(5)],
      );
      assert.deepEqual(
        (await store.listShards()).map(({ boot }) => boot),
        ["lately", "living"],
      );
      await store.savePresence(Array.from({ length: 900 }, (_, number) => row(100 + number, "dead", true)));
      const removed: number[] = [];
      while (removed.at(-1) !== 0) removed.push(await store.expirePresence(nowMs));
      assert.ok(removed.length >= 3 && Math.max(...removed) < 900, `${removed}`);
      assert.equal(
        removed.reduce((sum, each) => sum + each, 0),
        900,
      );
    });
  });
}

function keyOf({ deviceGroup, deviceId, shardBoot }: PresenceRow): string {
  return [deviceGroup, deviceId, shardBoot].join(" ");
}

/** By group, device and boot. */
function sorted(rows: readonly PresenceRow[]): PresenceRow[] {
  const place = ({ deviceGroup, deviceId, shardBoot }: PresenceRow) => [deviceGroup, deviceId, shardBoot].join("\n");
  return rows.toSorted((a, b) => (place(a) < place(b) ? -1 : 1));
}
