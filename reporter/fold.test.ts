import { strict as assert } from "node:assert";
import { WireType } from "@bufbuild/protobuf/wire";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { markerOf, type StatusRow } from "../common/storage/report-store.ts";
import { SAMPLE_TIME_MS, sampleReport } from "../common/testing/sample-report.ts";
import type { Report } from "../gen/nebula/v1/report_pb.ts";
import { type Folded, fold } from "./fold.ts";

const HOUR_MS = 3_600_000;
const limits = { duplicateMemoryMs: 26 * HOUR_MS };

type Folding = { row: StatusRow | undefined; kinds: Folded["kind"][] };

function foldAll(reports: readonly Report[], start?: StatusRow): Folding {
  return reports.reduce<Folding>(
    ({ row, kinds }, report) => {
      const folded = fold(row, report, limits);
      return { row: "row" in folded ? folded.row : row, kinds: [...kinds, folded.kind] };
    },
    { row: start, kinds: [] },
  );
}

function report(boot: string, seq: number, afterMs = 0): Report {
  return sampleReport({ boot, seq: BigInt(seq), receivedMs: SAMPLE_TIME_MS + afterMs });
}

function newest(row: StatusRow | undefined): string {
  return `${row?.device.report?.boot} ${row?.device.report?.seq}`;
}

describe("fold", () => {
  it("the fold makes a device's first report its status", () => {
    const { row, kinds } = foldAll([report("a", 1)]);
    assert.deepEqual(kinds, ["newest"]);
    assert.equal(row?.device.deviceId, "device-1");
    assert.equal(row?.device.deviceGroup, "shops");
    assert.deepEqual(row?.device.firstSeenAt, timestampFromMs(SAMPLE_TIME_MS));
    assert.deepEqual(row?.device.supersededBoots, []);
    assert.equal(row?.writtenAt, BigInt(SAMPLE_TIME_MS) * 1000n);
  });

  it("the fold lets the larger seq of a boot win, and inserts no other", () => {
    const { row, kinds } = foldAll([report("a", 1), report("a", 3), report("a", 2), report("a", 3)]);
    assert.deepEqual(kinds, ["newest", "newest", "repeat", "repeat"]);
    assert.equal(newest(row), "a 3");
  });

  it("the fold takes an unknown boot for newer, with any seq", () => {
    const { row } = foldAll([report("a", 7), report("b", 1)]);
    assert.equal(newest(row), "b 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot, seq }) => [boot, seq]),
      [["a", 7n]],
    );
  });

  it("the fold never lets a superseded boot win, and inserts its reports above what was folded", () => {
    const { row, kinds } = foldAll([report("a", 1), report("b", 1), report("a", 2), report("a", 2), report("a", 1)]);
    assert.deepEqual(kinds, ["newest", "newest", "late", "repeat", "repeat"]);
    assert.equal(newest(row), "b 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot, seq }) => [boot, seq]),
      [["a", 2n]],
    );
  });

  it("the fold keeps the last four superseded boots, oldest first", () => {
    const { row } = foldAll(["a", "b", "c", "d", "e", "f"].map((boot) => report(boot, 1)));
    assert.equal(newest(row), "f 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot }) => boot),
      ["b", "c", "d", "e"],
    );
  });

  it("the fold follows a device into another group, and keeps the time of its first report", () => {
    const moved = sampleReport({ seq: 2n, deviceGroup: "offices", receivedMs: SAMPLE_TIME_MS + 5000 });
    const { row } = foldAll([report("boot-1", 1), moved]);
    assert.equal(row?.device.deviceGroup, "offices");
    assert.deepEqual(row?.device.firstSeenAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("the fold raises the version of the row with every write, clocks that go back included", () => {
    const reports = [report("a", 1, 10_000), report("a", 2, 0), report("b", 1, 1), report("a", 3, 2), report("b", 2, 60_000)];
    const versions: bigint[] = [];
    let row: StatusRow | undefined;
    for (const next of reports) {
      row = foldAll([next], row).row;
      versions.push(row?.writtenAt ?? 0n);
    }
    const first = BigInt(SAMPLE_TIME_MS + 10_000) * 1000n;
    assert.deepEqual(versions, [first, first + 1n, first + 2n, first + 3n, BigInt(SAMPLE_TIME_MS + 60_000) * 1000n]);
  });

  it("the fold keeps fields of a row that a newer release wrote", () => {
    const { row = assert.fail() } = foldAll([report("a", 1)]);
    const unknown = [{ no: 99, wireType: WireType.Varint, data: Uint8Array.of(7) }];
    const ofNewer = { ...row, device: { ...row.device, $unknown: unknown } };
    for (const next of [report("a", 2), report("b", 1)]) assert.deepEqual(foldAll([next], ofNewer).row?.device.$unknown, unknown);
  });

  it("the fold does not change the row that it is given", () => {
    const { row } = foldAll([report("a", 1), report("b", 1)]);
    const before = structuredClone(row);
    foldAll([report("a", 2, HOUR_MS), report("b", 2), report("c", 1)], row);
    assert.deepEqual(row, before);
  });

  it("the fold changes nothing when a part of the log with up to five boots is folded again", () => {
    const anyReport = fc.record({
      boot: fc.constantFrom("a", "b", "c", "d", "e"),
      seq: fc.integer({ min: 1, max: 6 }),
      afterMs: fc.integer({ min: 0, max: 100_000 }),
    });
    fc.assert(
      fc.property(fc.array(anyReport, { maxLength: 30 }), fc.nat(), (log, from) => {
        const reports = log.map(({ boot, seq, afterMs }) => report(boot, seq, afterMs));
        const { row } = foldAll(reports);
        const again = foldAll(reports.slice(from % (reports.length + 1)), row);
        assert.deepEqual(
          again.kinds.filter((kind) => kind !== "repeat"),
          [],
        );
        assert.deepEqual(again.row, row);
      }),
    );
  });
});

describe("fold of a boot that was forgotten", () => {
  it("a report of a forgotten boot changes nothing when it is over 10 minutes older than the row's newest, and is the newest otherwise", () => {
    const { row } = foldAll(["a", "b", "c", "d", "e", "f"].map((boot, index) => report(boot, 1, HOUR_MS + index * 1000)));
    assert.deepEqual(foldAll([report("a", 1, 0), report("a", 2, HOUR_MS + 5000 - 600_001)], row).kinds, ["outdated", "outdated"]);
    const { row: after, kinds } = foldAll([report("g", 1, HOUR_MS + 5000 - 600_000)], row);
    assert.deepEqual([kinds, newest(after)], [["newest"], "g 1"]);
  });

  it("a log with any number of boots changes nothing when it is folded again from its beginning, if they are minutes apart", () => {
    const boots = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(boots, (reportsOf) => {
        const log = reportsOf.flatMap((reports, boot) =>
          Array.from({ length: reports }, (_, index) => report(`boot-${boot}`, index + 1, boot * 660_000 + index)),
        );
        const { row } = foldAll(log);
        const again = foldAll(log, row);
        assert.ok(again.kinds.every((kind) => kind === "repeat" || kind === "outdated"));
        assert.deepEqual(again.row, row);
      }),
    );
  });
});

describe("fold of a deleted device", () => {
  const deleted = (reports: readonly Report[]) => markerOf(foldAll(reports).row ?? assert.fail());

  it("a deleted device keeps knowing its earlier reports, and a newer one makes it a device that is first seen then", () => {
    const marker = deleted([report("a", 1), report("b", 5, 60_000), report("a", 2, 120_000)]);
    assert.deepEqual(foldAll([report("a", 1), report("b", 5), report("a", 2)], marker), { row: marker, kinds: ["repeat", "repeat", "repeat"] });
    const { row, kinds } = foldAll([report("b", 6, 180_000)], marker);
    assert.deepEqual(kinds, ["newest"]);
    assert.deepEqual([row?.deleted, row?.device.duplicateId], [undefined, false]);
    assert.deepEqual(row?.device.firstSeenAt, timestampFromMs(SAMPLE_TIME_MS + 180_000));
    assert.ok((row?.writtenAt ?? 0n) > marker.writtenAt);
  });

  it("a deleted device stays deleted by a late report of an older boot", () => {
    const marker = deleted([report("a", 1), report("b", 1, 1000)]);
    const { row, kinds } = foldAll([report("a", 2, HOUR_MS), report("a", 2, HOUR_MS)], marker);
    assert.deepEqual(kinds, ["late", "repeat"]);
    assert.deepEqual([row?.deleted, row?.device.duplicateId, row?.device.report?.apps], [true, false, []]);
  });
});

describe("duplicate id", () => {
  it("a duplicate id is not reported for a worker that was started again, nor for its last report that comes late", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 11_000), report("b", 2, 2000)]);
    assert.equal(row?.device.duplicateId, false);
    assert.equal(row?.device.duplicateSeenAt, undefined);
  });

  it("a duplicate id is reported when a boot still reports after another one appeared", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 60_000)]);
    assert.equal(row?.device.duplicateId, true);
    assert.deepEqual(row?.device.duplicateSeenAt, timestampFromMs(SAMPLE_TIME_MS + 60_000));
    assert.equal(newest(row), "b 1");
  });

  it("a duplicate id stays through reports and starts of either worker", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 60_000), report("b", 2, 70_000), report("c", 1, HOUR_MS)]);
    assert.equal(row?.device.duplicateId, true);
  });

  it("a duplicate id is cleared once the second worker was silent for its time", () => {
    const seenAt = 60_000;
    const before = [report("a", 1), report("b", 1, 1000), report("a", 2, seenAt), report("b", 2, seenAt + limits.duplicateMemoryMs)];
    assert.equal(foldAll(before).row?.device.duplicateId, true);
    assert.equal(foldAll([...before, report("b", 3, seenAt + limits.duplicateMemoryMs + 1)]).row?.device.duplicateId, false);
  });
});
