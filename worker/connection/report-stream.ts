import { create, toBinary } from "@bufbuild/protobuf";
import { LARGEST_WATCH_REQUEST } from "../../common/config/watch-features.ts";
import { kindOf } from "../../common/errors/codes.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type ReportAnswer, WatchAndReportRequestSchema } from "../../gen/nebula/v1/config_pb.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";

const MOST_UNANSWERED = 8;

type Place = Pick<PromiseWithResolvers<ReportAnswer>, "resolve" | "reject">;

/**
 * Reports on the stream of a watch, and their answers.
 * 1. Answers come in the order of the reports: one whose sender waits no more keeps its place until its answer comes.
 * 2. At most MOST_UNANSWERED reports have no answer; this stream takes no further one.
 * 3. With the end of the stream each report that has no answer is rejected at once.
 */
export class ReportStream {
  readonly #send: (request: Uint8Array) => void;
  /** Oldest first. */
  readonly #unanswered: Place[] = [];
  #hasEnded = false;

  /** @param send sends an encoded WatchAndReportRequest */
  constructor(send: (request: Uint8Array) => void) {
    this.#send = send;
  }

  /**
   * Sends a report and waits for its answer. False: this stream does not take it, and it has to be sent by SubmitReports. Rejects as SubmitReports does,
   * with `deadline_exceeded` after `limitMs` without an answer, and with `unavailable` when the stream has ended.
   */
  async submit(report: Report, limitMs: number, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) throw cancelled();
    if (this.#hasEnded) throw ended();
    if (this.#unanswered.length >= MOST_UNANSWERED) return false; // 2
    const request = encoded(report);
    if (request.length > LARGEST_WATCH_REQUEST) return false;
    this.#send(request);
    return isTaken(await this.#answer(limitMs, signal));
  }

  /** Takes the answer to the oldest report that has none. */
  answered(answer: ReportAnswer): void {
    this.#unanswered.shift()?.resolve(answer); // 1
  }

  end(): void {
    this.#hasEnded = true;
    for (const { reject } of this.#unanswered.splice(0)) reject(ended()); // 3
  }

  async #answer(limitMs: number, signal: AbortSignal): Promise<ReportAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<ReportAnswer>();
    this.#unanswered.push({ resolve, reject });
    const late = setTimeout(() => reject(new NebulaError("deadline_exceeded", `no answer within ${limitMs} ms`)), limitMs);
    const onAbort = () => reject(cancelled());
    signal.addEventListener("abort", onAbort);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", onAbort);
    }
  }
}

function encoded(report: Report): Uint8Array {
  return toBinary(WatchAndReportRequestSchema, create(WatchAndReportRequestSchema, { request: { case: "reports", value: { reports: [report] } } }));
}

/** Whether a report is safe; false: it was not looked at. Throws what SubmitReports would have rejected with. */
function isTaken({ code, message, retryAfterMs, byCall }: ReportAnswer): boolean {
  if (byCall) return false;
  if (code === 0) return true;
  throw new NebulaError(kindOf(code), message, { retryAfterMs: retryAfterMs === 0 ? undefined : retryAfterMs });
}

function cancelled(): NebulaError {
  return new NebulaError("cancelled", "the report was cancelled");
}

function ended(): NebulaError {
  return new NebulaError("unavailable", "the watch ended before the report had an answer");
}
