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
    const { entries, reports, hasMore } = await timeline.read(signal);
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
    await timeline.read(signal);
    reports.push(report(2, TargetState.APPLIED));
    const { entries } = await timeline.read(signal);
    assert.deepEqual([entries.length, entries[0]?.reports, entries[0]?.lastAt], [1, 2, 2000]);
    assert.deepEqual(asked, [" ", "00000001 "]);
  });

  it("a long history is read in parts, none of it twice", async () => {
    const timeline = new ReportTimeline(historyOf(Array.from({ length: 13 }, (_, index) => report(index + 1, TargetState.APPLIED))));
    const first = await timeline.read(signal);
    assert.deepEqual([first.reports, first.hasMore], [10, true]);
    const second = await timeline.read(signal);
    assert.deepEqual([second.reports, second.hasMore, second.entries[0]?.reports], [13, false, 13]);
  });

  it("a read that failed after its first page is made again without counting that page twice", async () => {
    const history = historyOf(Array.from({ length: 4 }, (_, index) => report(index + 1, TargetState.APPLIED)));
    let isBroken = true;
    const timeline = new ReportTimeline(async (afterId, pageToken, signal) => {
      if (pageToken !== "" && isBroken) throw new Error("the server is away");
      return await history(afterId, pageToken, signal);
    });
    await assert.rejects(timeline.read(signal), /away/);
    isBroken = false;
    assert.equal((await timeline.read(signal)).reports, 4);
  });

  it("text of a device has no characters that move what stands beside it", async () => {
    const timeline = new ReportTimeline(historyOf([report(1, TargetState.FAILED, "\u202egro.live <img src=x>")]));
    assert.equal((await timeline.read(signal)).entries[0]?.text, "web: \\u202egro.live <img src=x>");
  });
});
