import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { useRef, useState } from "preact/hooks";
import { ReportService } from "../../../../../gen/nebula/v1/report_pb.ts";
import { useReading } from "../../parts/ask-server.ts";
import { CommandLine } from "../../parts/command-line.tsx";
import { commandLine, formatCount } from "../../parts/format.ts";
import { usePage } from "../../parts/page-context.ts";
import { type Column, Table } from "../../parts/table.tsx";
import { Age, StateWord } from "../../parts/values.tsx";
import { ViewState } from "../../parts/view-state.tsx";
import { ReportTimeline, type TimelineEntry } from "./report-timeline.ts";

const PAGE_SIZE = 200;

/** How far back, in words that nebulactl takes, and in milliseconds. */
const SPANS: ReadonlyMap<string, number> = new Map([
  ["1h", 3_600_000],
  ["1d", 86_400_000],
  ["7d", 604_800_000],
]);

const COLUMNS: readonly Column<TimelineEntry>[] = [
  { key: "at", head: "Newest", cell: ({ lastAt }) => <Age of={lastAt} /> },
  { key: "state", head: "State", cell: ({ state }) => <StateWord state={state} /> },
  {
    key: "text",
    head: "What is wrong",
    cell: ({ text, isStart }) => (
      <span class="timeline-text" title={text}>
        {isStart && <span class="faint">worker started {text === "" ? "" : "· "}</span>}
        <bdi>{text}</bdi>
      </span>
    ),
  },
  { key: "first", head: "First", from: "medium", cell: ({ firstAt }) => <Age of={firstAt} /> },
  { key: "reports", head: "Reports", isNumber: true, from: "medium", cell: ({ reports }) => formatCount(reports) },
  { key: "version", head: "Worker", from: "wide", cell: ({ version }) => (version === "" ? "the original" : version) },
];

/** The reports of a device, the newest first; reports that say the same are one line. */
export function Timeline({ deviceId }: Readonly<{ deviceId: string }>) {
  const [span, setSpan] = useState("1h");
  return (
    <section class="stack" aria-labelledby="reports">
      <div class="timeline-head">
        <h2 id="reports">Reports</h2>
        <label>
          <span class="faint">of the last </span>
          <select value={span} onChange={({ currentTarget }) => setSpan(currentTarget.value)}>
            {[...SPANS.keys()].map((word) => (
              <option key={word} value={word}>
                {word}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Entries key={`${deviceId} ${span}`} deviceId={deviceId} span={span} />
      <CommandLine line={commandLine(["nebulactl", "reports", "list", "--device", deviceId, "--since", span])} />
    </section>
  );
}

function Entries({ deviceId, span }: Readonly<{ deviceId: string; span: string }>) {
  const { transport, clock } = usePage();
  const timeline = useRef<ReportTimeline | undefined>(undefined);
  const state = useReading(`reports ${deviceId} ${span}`, (signal) => {
    const fromMs = clock.now() - (SPANS.get(span) ?? 0);
    timeline.current ??= timelineOf(fromMs);
    return timeline.current.read(fromMs, signal);
  });
  const timelineOf = (fromMs: number) =>
    new ReportTimeline((afterId, pageToken, signal) => {
      const request = { deviceId, receivedFrom: timestampFromMs(fromMs), pageSize: PAGE_SIZE, pageToken, afterId };
      return createClient(ReportService, transport).listReports(request, { signal });
    });
  return (
    <ViewState of={state} empty={({ reports }) => (reports === 0 ? <p class="faint">No report was received in this time.</p> : undefined)}>
      {({ entries, reports, hasMore }) => (
        <>
          <p class="faint" role="status">
            {formatCount(reports)} {reports === 1 ? "report" : "reports"}
            {hasMore ? "; newer ones are being read" : ""}
          </p>
          <Table label="Reports" columns={COLUMNS} rows={entries} keyOf={({ key }) => key} />
        </>
      )}
    </ViewState>
  );
}
