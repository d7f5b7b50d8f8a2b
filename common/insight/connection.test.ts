import { strict as assert } from "node:assert";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { ConnectionState, type DeviceConnection } from "../../gen/nebula/v1/device_pb.ts";
import { type PresenceRow, presenceVersion, type ShardRow } from "../storage/presence-store.ts";
import { bootsAt, connectionOf, decidingRow, LIVE_MS, MARK_MS, ORIGINAL_ONLINE_MS, supersededRows } from "./connection.ts";

const NOW = 1_700_000_000_000;
const shard = (boot: string, seenMs: number, name = `m-${boot}`): ShardRow => ({ boot, name, address: `${name}:50051`, seenMs });
const row = (shardBoot: string, stream: number, ended: boolean, atMs: number, deviceGroup = "shops"): PresenceRow => ({
  deviceGroup,
  deviceId: "d-1",
  shardBoot,
  stream,
  ended,
  atMs,
});
const WORDS: Readonly<Record<ConnectionState, string>> = {
  [ConnectionState.UNSPECIFIED]: "UNSPECIFIED",
  [ConnectionState.ONLINE]: "ONLINE",
  [ConnectionState.OFFLINE]: "OFFLINE",
};
const said = ({ state, since, shard: name }: DeviceConnection) => [WORDS[state], since && timestampMs(since), name];
const boots = bootsAt([shard("a", NOW - 3000), shard("b", NOW - 9000), shard("dead", NOW - 60_000)], NOW);

describe("the connection of a device", () => {
  it("a device is online since its watch opened, while the row is open on a boot that lives", () => {
    assert.deepEqual(said(connectionOf([row("a", 1, false, NOW - 5000)], undefined, boots, NOW)), ["ONLINE", NOW - 5000, "m-a"]);
  });

  it("a device with an open watch on another shard is online, also where its other shards say that it left", () => {
    const rows = [row("b", 7, true, NOW - 100), row("a", 1, false, NOW - 5000), row("dead", 3, false, NOW - 70_000)];
    assert.deepEqual(said(connectionOf(rows, undefined, boots, NOW)), ["ONLINE", NOW - 5000, "m-a"]);
  });

  it("a device is offline since the latest of its ends and of the last marks of its dead boots", () => {
    const rows = [row("a", 1, true, NOW - 90_000), row("dead", 4, false, NOW - 80_000)];
    assert.deepEqual(said(connectionOf(rows, undefined, boots, NOW)), ["OFFLINE", NOW - 60_000, "m-dead"]);
    assert.deepEqual(said(connectionOf([...rows, row("b", 1, true, NOW - 50_000)], undefined, boots, NOW)), ["OFFLINE", NOW - 50_000, "m-b"]);
    assert.deepEqual(said(connectionOf([row("dead", 4, false, NOW - 59_000)], undefined, boots, NOW)), ["OFFLINE", NOW - 59_000, "m-dead"]);
  });

  it("a device whose boot is not kept any more is offline since its newest report, or since it connected", () => {
    const rows = [row("gone", 1, false, NOW - 500_000)];
    assert.deepEqual(said(connectionOf(rows, undefined, boots, NOW)), ["OFFLINE", NOW - 500_000, ""]);
    assert.deepEqual(said(connectionOf(rows, { receivedMs: NOW - 400_000, original: false }, boots, NOW)), ["OFFLINE", NOW - 400_000, ""]);
  });

  it("a device that never connected is offline since its newest report; of one that never reported either nothing is said", () => {
    assert.deepEqual(said(connectionOf([], { receivedMs: NOW - 9, original: false }, boots, NOW)), ["OFFLINE", NOW - 9, ""]);
    assert.deepEqual(said(connectionOf([], undefined, boots, NOW)), ["UNSPECIFIED", undefined, ""]);
  });

  it("a worker of the original is online while its newest report is younger than 3 minutes", () => {
    const at = (ageMs: number, rows: PresenceRow[] = []) => said(connectionOf(rows, { receivedMs: NOW - ageMs, original: true }, boots, NOW));
    assert.equal(ORIGINAL_ONLINE_MS, 180_000);
    assert.deepEqual(at(179_999), ["ONLINE", undefined, ""]);
    assert.deepEqual(at(180_000), ["OFFLINE", NOW - 180_000, ""]);
    assert.deepEqual(at(1000, [row("a", 1, true, NOW - 90_000)]), ["ONLINE", undefined, ""]);
  });

  it("a boot lives while two of its marks are missing, and not much longer; the one that asks always lives", () => {
    const lives = (ageMs: number, own?: string) => bootsAt([shard("a", NOW - ageMs)], NOW, own).get("a")?.lives;
    assert.equal(lives(3 * MARK_MS), true);
    assert.equal(lives(LIVE_MS), false);
    assert.ok(LIVE_MS <= 40_000);
    assert.equal(lives(LIVE_MS * 9, "a"), true);
  });

  it("a boot is dead as soon as a later start of the same shard was seen", () => {
    const seen = bootsAt([shard("old", NOW - 2000, "m-1"), shard("new", NOW - 1000, "m-1")], NOW);
    assert.deepEqual([seen.get("old")?.lives, seen.get("new")?.lives], [false, true]);
    const own = bootsAt([shard("old", NOW + 5000, "m-1"), shard("new", NOW - 1000, "m-1")], NOW, "new"); // its clock was ahead
    assert.deepEqual([own.get("old")?.lives, own.get("new")?.lives], [false, true]);
  });

  it("the order, doubling and delay of writes change nothing: the answer is that of the newest row of each boot", () => {
    const anyRow = fc
      .record({
        boot: fc.constantFrom("a", "b", "dead", "gone"),
        stream: fc.integer({ min: 1, max: 6 }),
        ended: fc.boolean(),
        group: fc.constantFrom("x", "y"),
      })
      // what one (boot, stream, ended) says is the same however often it is written
      .map(({ boot, stream, ended, group }) =>
        row(boot, stream, ended, NOW - 100_000 + stream * 7000 + (ended ? 3000 : 0) + boot.length, stream > 3 ? group : "x"),
      );
    const register = (writes: readonly PresenceRow[]) => {
      const stored = new Map<string, PresenceRow>(); // as every store does
      for (const write of writes) {
        const key = [write.deviceGroup, write.shardBoot].join();
        const other = stored.get(key);
        if (other === undefined || presenceVersion(write) > presenceVersion(other)) stored.set(key, write);
      }
      return [...stored.values()];
    };
    const unique = (rows: readonly PresenceRow[]) => [...new Map(rows.map((each) => [`${each.shardBoot} ${presenceVersion(each)}`, each])).values()];
    const seen = { online: 0, offline: 0 };
    fc.assert(
      fc.property(fc.array(anyRow, { minLength: 1, maxLength: 12 }), fc.infiniteStream(fc.nat(1000)), (given, numbers) => {
        const writes = unique(given);
        const answer = said(connectionOf(register(writes), undefined, boots, NOW));
        const again = [...writes, ...writes.filter(() => (numbers.next().value ?? 0) % 2 === 0)];
        const mixed = again.map((each) => ({ each, place: numbers.next().value ?? 0 })).sort((one, other) => one.place - other.place);
        const late = mixed.map(({ each }) => each);
        assert.deepEqual(said(connectionOf(register(late), undefined, boots, NOW)), answer);
        assert.deepEqual(said(connectionOf(late, undefined, boots, NOW)), answer, "rows that no store has folded");
        // the same by the newest row of each boot alone
        const last = ["a", "b", "dead", "gone"].flatMap((boot) => {
          const [first, ...others] = writes.filter((each) => each.shardBoot === boot);
          return first === undefined ? [] : [others.reduce((one, other) => (presenceVersion(other) > presenceVersion(one) ? other : one), first)];
        });
        const open = last.filter(({ shardBoot, ended }) => !ended && (shardBoot === "a" || shardBoot === "b"));
        const since =
          open.length > 0
            ? open.map(({ atMs }) => atMs)
            : last.map(({ shardBoot, ended, atMs }) => (!ended && shardBoot === "dead" ? Math.max(atMs, NOW - 60_000) : atMs));
        assert.deepEqual(answer.slice(0, 2), [open.length > 0 ? "ONLINE" : "OFFLINE", Math.max(...since)]);
        seen[open.length > 0 ? "online" : "offline"]++;
      }),
      { numRuns: 400 },
    );
    assert.ok(seen.online > 20 && seen.offline > 20, JSON.stringify(seen));
  });

  it("rows that say nothing any more are found, and without them the answer is the same", () => {
    const seen = bootsAt([shard("a", NOW - 3000), shard("b", NOW - 9000), shard("lately", NOW - 600_000), shard("dead", NOW - 7_200_000)], NOW);
    const anyRow = fc
      .record({ boot: fc.constantFrom("a", "b", "dead", "lately", "gone"), stream: fc.integer({ min: 1, max: 4 }), ended: fc.boolean() })
      .map(({ boot, stream, ended }) => row(boot, stream, ended, NOW - 9_000_000 + stream * 1000, `g-${stream % 2}`));
    let removed = 0;
    fc.assert(
      fc.property(
        fc.uniqueArray(anyRow, { minLength: 1, maxLength: 10, selector: (each) => `${each.shardBoot} ${presenceVersion(each)}` }),
        (rows) => {
          const superseded = supersededRows(rows, seen, NOW);
          const left = rows.filter((each) => !superseded.includes(each));
          assert.ok(left.length >= 1);
          assert.deepEqual(said(connectionOf(left, undefined, seen, NOW)), said(connectionOf(rows, undefined, seen, NOW)));
          assert.equal(decidingRow(left, seen), decidingRow(rows, seen));
          assert.deepEqual(supersededRows(left, seen, NOW), []);
          const newestLately = rows
            .filter(({ shardBoot }) => shardBoot === "lately")
            .sort((one, other) => presenceVersion(other) - presenceVersion(one))[0];
          assert.ok(newestLately === undefined || left.includes(newestLately), "a boot that was seen lately may only be paused");
          removed += superseded.length;
        },
      ),
    );
    assert.ok(removed > 50, `${removed} rows`);
  });
});
