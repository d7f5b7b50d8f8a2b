import { strict as assert } from "node:assert";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import type { StatusRow } from "../common/storage/report-store.ts";
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
      return { row: folded.kind === "repeat" ? row : folded.row, kinds: [...kinds, folded.kind] };
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
  it("makes a device's first report its status", () => {
    const { row, kinds } = foldAll([report("a", 1)]);
    assert.deepEqual(kinds, ["newest"]);
    assert.equal(row?.device.deviceId, "device-1");
    assert.equal(row?.device.deviceGroup, "shops");
    assert.deepEqual(row?.device.firstSeenAt, timestampFromMs(SAMPLE_TIME_MS));
    assert.deepEqual(row?.device.supersededBoots, []);
    assert.equal(row?.writtenAt, BigInt(SAMPLE_TIME_MS) * 1000n);
  });

  it("lets the larger seq of a boot win, and inserts no other", () => {
    const { row, kinds } = foldAll([report("a", 1), report("a", 3), report("a", 2), report("a", 3)]);
    assert.deepEqual(kinds, ["newest", "newest", "repeat", "repeat"]);
    assert.equal(newest(row), "a 3");
  });

  it("takes an unknown boot for newer, whatever its seq", () => {
    const { row } = foldAll([report("a", 7), report("b", 1)]);
    assert.equal(newest(row), "b 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot, seq }) => [boot, seq]),
      [["a", 7n]],
    );
  });

  it("never lets a superseded boot win, and inserts its reports above what was folded", () => {
    const { row, kinds } = foldAll([report("a", 1), report("b", 1), report("a", 2), report("a", 2), report("a", 1)]);
    assert.deepEqual(kinds, ["newest", "newest", "late", "repeat", "repeat"]);
    assert.equal(newest(row), "b 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot, seq }) => [boot, seq]),
      [["a", 2n]],
    );
  });

  it("keeps the last four superseded boots, oldest first", () => {
    const { row } = foldAll(["a", "b", "c", "d", "e", "f"].map((boot) => report(boot, 1)));
    assert.equal(newest(row), "f 1");
    assert.deepEqual(
      row?.device.supersededBoots.map(({ boot }) => boot),
      ["b", "c", "d", "e"],
    );
  });

  it("follows a device into another group, and keeps when it was first heard of", () => {
    const moved = sampleReport({ seq: 2n, deviceGroup: "offices", receivedMs: SAMPLE_TIME_MS + 5000 });
    const { row } = foldAll([report("boot-1", 1), moved]);
    assert.equal(row?.device.deviceGroup, "offices");
    assert.deepEqual(row?.device.firstSeenAt, timestampFromMs(SAMPLE_TIME_MS));
  });

  it("raises the version of the row with every write, clocks that go back included", () => {
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

  it("does not change the row that it is given", () => {
    const { row } = foldAll([report("a", 1), report("b", 1)]);
    const before = structuredClone(row);
    foldAll([report("a", 2, HOUR_MS), report("b", 2), report("c", 1)], row);
    assert.deepEqual(row, before);
  });

  it("changes nothing when a part of the log with up to five boots is folded again", () => {
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

describe("duplicate id", () => {
  it("is not said of a worker that was started again, nor of its last report that comes late", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 11_000), report("b", 2, 2000)]);
    assert.equal(row?.device.duplicateId, false);
    assert.equal(row?.device.duplicateSeenAt, undefined);
  });

  it("is said when a boot goes on reporting after another one appeared", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 60_000)]);
    assert.equal(row?.device.duplicateId, true);
    assert.deepEqual(row?.device.duplicateSeenAt, timestampFromMs(SAMPLE_TIME_MS + 60_000));
    assert.equal(newest(row), "b 1");
  });

  it("stays through reports and starts of either worker", () => {
    const { row } = foldAll([report("a", 1), report("b", 1, 1000), report("a", 2, 60_000), report("b", 2, 70_000), report("c", 1, HOUR_MS)]);
    assert.equal(row?.device.duplicateId, true);
  });

  it("goes once the second worker was silent for long enough", () => {
    const seenAt = 60_000;
    const before = [report("a", 1), report("b", 1, 1000), report("a", 2, seenAt), report("b", 2, seenAt + limits.duplicateMemoryMs)];
    assert.equal(foldAll(before).row?.device.duplicateId, true);
    assert.equal(foldAll([...before, report("b", 3, seenAt + limits.duplicateMemoryMs + 1)]).row?.device.duplicateId, false);
  });
});
