/**
 * The reports of a device as a timeline. Reports that say the same one after another are one entry of it.
 *
 * T1 A report is read once: each read asks for those after the newest one that is known.
 * T2 A report leaves when it is older than the time that is shown.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { problemsOf } from "../../../../../common/insight/text/report-text.ts";
import { printableLine } from "../../../../../common/printable.ts";
import { enumWord } from "../../../../../common/text/enum-words.ts";
import { type StoredReport, TargetStateSchema } from "../../../../../gen/nebula/v1/report_pb.ts";

/** Entries that are kept; the oldest go first. */
const MOST_ENTRIES = 500;
/** Pages that one read asks for: the next read goes on where it ended. */
const MOST_PAGES = 5;

export type TimelineEntry = Readonly<{
  /** The id of its first report. */
  key: string;
  state: string;
  /** The problems; empty if there are none. */
  text: string;
  /** Empty: a worker of the original. */
  version: string;
  /** Whether the worker started with its first report. */
  isStart: boolean;
  boot: string;
  /** Of its first and its newest report, milliseconds since 1970. */
  firstAt: number;
  lastAt: number;
  reports: number;
}>;

export type TimelineState = Readonly<{
  /** The newest first. */
  entries: readonly TimelineEntry[];
  reports: number;
  /** Whether there are newer ones that were not read yet. */
  hasMore: boolean;
}>;

/** A page of reports, oldest first, after the one with this id. */
export type FetchReports = (
  afterId: string,
  pageToken: string,
  signal: AbortSignal,
) => Promise<Readonly<{ reports: readonly StoredReport[]; nextPageToken: string }>>;

/** An entry, and when each of its reports was received, oldest first. */
type Entry = Readonly<{ entry: TimelineEntry; times: number[] }>;

export class ReportTimeline {
  readonly #fetch: FetchReports;
  #entries: readonly Entry[] = [];
  /** When the reports were received whose entries are not kept. */
  #unkept: readonly number[] = [];
  #newestId = "";

  constructor(fetch: FetchReports) {
    this.#fetch = fetch;
  }

  /** @param fromMs reports that were received before it are left out, milliseconds since 1970 */
  async read(fromMs: number, signal: AbortSignal): Promise<TimelineState> {
    const afterId = this.#newestId; // T1
    let token = "";
    for (let page = 0; page < MOST_PAGES; page++) {
      const { reports, nextPageToken } = await this.#fetch(afterId, token, signal);
      this.#add(reports);
      token = nextPageToken;
      if (token === "") break;
    }
    this.#entries = this.#entries.flatMap((each) => entrySince(fromMs, each)); // T2
    this.#unkept = this.#unkept.filter((at) => at >= fromMs);
    const entries = this.#entries.map(({ entry }) => entry);
    return { entries, reports: entries.reduce((sum, { reports }) => sum + reports, this.#unkept.length), hasMore: token !== "" };
  }

  #add(reports: readonly StoredReport[]): void {
    const entries = [...this.#entries];
    for (const stored of reports) {
      if (stored.id <= this.#newestId) continue; // of a page that a read before had, and that failed after it
      this.#newestId = stored.id;
      const [newest] = entries;
      const next = entryOf(stored, newest?.entry);
      if (newest !== undefined && isSame(newest.entry, next)) {
        newest.times.push(next.lastAt);
        entries[0] = { ...newest, entry: { ...newest.entry, lastAt: next.lastAt, reports: newest.times.length } };
      } else entries.unshift({ entry: next, times: [next.lastAt] });
    }
    this.#unkept = [...this.#unkept, ...entries.slice(MOST_ENTRIES).flatMap(({ times }) => times)];
    this.#entries = entries.slice(0, MOST_ENTRIES);
  }
}

/** Returns the rest of an entry, without its reports of before; empty if nothing is left. */
function entrySince(fromMs: number, { entry, times: all }: Entry): Entry[] {
  const times = all.filter((at) => at >= fromMs);
  const [firstAt] = times;
  if (firstAt === undefined) return [];
  if (times.length === all.length) return [{ entry, times: all }];
  return [{ entry: { ...entry, firstAt, reports: times.length, isStart: false }, times }];
}

function entryOf({ id, report }: StoredReport, before: TimelineEntry | undefined): TimelineEntry {
  const at = report?.receivedAt === undefined ? Number.parseInt(id.slice(0, 8), 16) * 1000 : timestampMs(report.receivedAt);
  const boot = report?.boot ?? "";
  return {
    key: id,
    state: report === undefined ? "unknown" : enumWord(TargetStateSchema, report.state) || "unknown",
    text: report === undefined ? "" : printableLine(problemsOf(report, false).join("; ")),
    version: printableLine(report?.workerVersion ?? ""),
    isStart: before !== undefined && before.boot !== boot,
    boot,
    firstAt: at,
    lastAt: at,
    reports: 1,
  };
}

function isSame(one: TimelineEntry, other: TimelineEntry): boolean {
  return one.state === other.state && one.text === other.text && one.version === other.version && one.boot === other.boot;
}
