import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type StoredReport, StoredReportSchema, TargetState } from "../../../../../gen/nebula/v1/report_pb.ts";
import { type FetchReports, ReportTimeline } from "./report-timeline.ts";

const { signal } = new AbortController();

function report(seconds: number, state: TargetState, reason = "", boot = "a"): StoredReport {
  const apps = reason === "" ? [] : [{ name: "web", state, reason }];
  return create(StoredReportSchema, {
    id: `${seconds.toString(16).padStart(8, "0")}0000000000000000`,
    report: { boot, state, apps, workerVersion: "0.1.0", receivedAt: timestampFromMs(seconds * 1000) },
  });
}

/** A history of pages of two; what was asked for is noted. */
function historyOf(reports: StoredReport[], asked: string[] = []): FetchReports {
  return async (afterId, pageToken) => {
    asked.push(`${afterId.slice(0, 8)} ${pageToken}`);
    const from = Number(pageToken);
    const left = reports.filter(({ id }) => id > afterId);
    return { reports: left.slice(from, from + 2), nextPageToken: from + 2 < left.length ? String(from + 2) : "" };
  };
}

describe("the timeline of the reports of a device", () => {
  it("reports that say the same are one entry, and the newest is first", async () => {
    const timeline = new ReportTimeline(
      historyOf([
        report(1, TargetState.WORKING),
        report(2, TargetState.APPLIED),
        report(3, TargetState.APPLIED),
        report(4, TargetState.FAILED, "exits with 1"),
        report(5, TargetState.FAILED, "exits with 1", "b"),
      ]),
    );
    const { entries, reports, hasMore } = await timeline.read(0, signal);
    assert.deepEqual(
      entries.map(({ state, text, firstAt, lastAt, reports, isStart }) => [state, text, firstAt, lastAt, reports, isStart]),
      [
        ["failed", "web: exits with 1", 5000, 5000, 1, true],
        ["failed", "web: exits with 1", 4000, 4000, 1, false],
        ["applied", "", 2000, 3000, 2, false],
        ["working", "", 1000, 1000, 1, false],
      ],
    );
    assert.deepEqual([reports, hasMore], [5, false]);
  });

  it("a later read asks for newer reports alone, and adds them", async () => {
    const reports = [report(1, TargetState.APPLIED)];
    const asked: string[] = [];
    const timeline = new ReportTimeline(historyOf(reports, asked));
    await timeline.read(0, signal);
    reports.push(report(2, TargetState.APPLIED));
    const { entries } = await timeline.read(0, signal);
    assert.deepEqual([entries.length, entries[0]?.reports, entries[0]?.lastAt], [1, 2, 2000]);
    assert.deepEqual(asked, [" ", "00000001 "]);
  });

  it("reports leave when they are older than the time that is shown, and an entry keeps its later ones", async () => {
    const reports = [
      report(1, TargetState.WORKING),
      report(2, TargetState.APPLIED),
      report(3, TargetState.APPLIED, "", "b"),
      report(4, TargetState.APPLIED, "", "b"),
    ];
    const timeline = new ReportTimeline(historyOf(reports));
    const shown = async (fromMs: number) => {
      const { entries, reports } = await timeline.read(fromMs, signal);
      return [reports, ...entries.map(({ firstAt, reports, isStart }) => `${firstAt} ${reports} ${isStart}`)];
    };
    assert.deepEqual(await shown(1000), [4, "3000 2 true", "2000 1 false", "1000 1 false"]);
    assert.deepEqual(await shown(2001), [2, "3000 2 true"]);
    reports.push(report(5, TargetState.APPLIED, "", "b"));
    assert.deepEqual(await shown(3001), [2, "4000 2 false"]);
    assert.deepEqual(await shown(6000), [0]);
  });

  it("reports of entries that are not kept are counted until they leave", async () => {
    const states = [TargetState.WORKING, TargetState.APPLIED];
    const all = Array.from({ length: 600 }, (_, index) => report(index + 1, states[index % 2] ?? TargetState.FAILED));
    const timeline = new ReportTimeline(async (afterId) => ({ reports: all.filter(({ id }) => id > afterId), nextPageToken: "" }));
    const first = await timeline.read(1000, signal);
    assert.deepEqual([first.reports, first.entries.length], [600, 500]);
    const later = await timeline.read(51_000, signal);
    assert.deepEqual([later.reports, later.entries.length], [550, 500]);
  });

  it("a long history is read in parts, none of it twice", async () => {
    const timeline = new ReportTimeline(historyOf(Array.from({ length: 13 }, (_, index) => report(index + 1, TargetState.APPLIED))));
    const first = await timeline.read(0, signal);
    assert.deepEqual([first.reports, first.hasMore], [10, true]);
    const second = await timeline.read(0, signal);
    assert.deepEqual([second.reports, second.hasMore, second.entries[0]?.reports], [13, false, 13]);
  });

  it("a read that failed after its first page is made again without counting that page twice", async () => {
    const history = historyOf(Array.from({ length: 4 }, (_, index) => report(index + 1, TargetState.APPLIED)));
    let isBroken = true;
    const timeline = new ReportTimeline(async (afterId, pageToken, signal) => {
      if (pageToken !== "" && isBroken) throw new Error("the server is away");
      return await history(afterId, pageToken, signal);
    });
    await assert.rejects(timeline.read(0, signal), /away/);
    isBroken = false;
    assert.equal((await timeline.read(0, signal)).reports, 4);
  });

  it("text of a device has no characters that move what stands beside it", async () => {
    const timeline = new ReportTimeline(historyOf([report(1, TargetState.FAILED, "\u202egro.live <img src=x>")]));
    assert.equal((await timeline.read(0, signal)).entries[0]?.text, "web: \\u202egro.live <img src=x>");
  });
});
