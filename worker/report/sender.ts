import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Alarm } from "../../common/clock/alarm.ts";
import { backoffMs, withJitter } from "../../common/clock/backoff.ts";
import type { Clock } from "../../common/clock/clock.ts";
import { isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { Log } from "../../common/log/log.ts";
import type { Report } from "../../gen/nebula/v1/report_pb.ts";
import { dueAt, holdMs, NOTHING_REPORTED, type Reported, reportedAfter, tellsTheSame } from "./damping.ts";
import { failuresAfter, type SeenFailures, withHeldFailures } from "./hold.ts";

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 5 * 60_000;

export type ReportSenderOptions = Readonly<{
  clock: Clock;
  log: Log;
  /** The longest time without a report, milliseconds. */
  intervalMs: number;
  /** The newest state as a report; seq and created_at are the sender's. undefined: nothing is known yet. */
  compose: () => Report | undefined;
  /** Fills in what is measured only for a report that is sent. `isPeriodic`: nothing has changed, so it may take its time. */
  measure: (report: Report, isPeriodic: boolean, signal: AbortSignal) => Promise<Report>;
  submit: (report: Report, signal: AbortSignal) => Promise<void>;
  /** Called when a report has arrived. */
  onArrived?: (report: Report) => void;
}>;

/** A config that no report has answered: `since` is when it came, milliseconds of the monotonic clock. */
type Unanswered = Readonly<{ since: number }>;

/**
 * Sends reports.
 * S1 one report is in flight at a time, and the newest state wins: what happened meanwhile is one report, not a queue.
 * S2 a report that was not acknowledged keeps its seq while it is sent again; another one gets the next.
 * S3 a waiting time that the server tells is waited, also over a new connection.
 */
export class ReportSender {
  readonly #options: ReportSenderOptions;
  readonly #alarm: Alarm;
  #reported: Reported = NOTHING_REPORTED;
  /** The failures seen, also those of which no report was made. */
  #seenFailures: SeenFailures = new Map();
  #seq = 0n;
  /** When the newest config came that no report has answered. */
  #unanswered: Unanswered | undefined;
  #retryNotBefore = 0;
  /** S3 */
  #answeredNotBefore = 0;
  #failures = 0;
  /** The newest report, while nobody has said that it arrived. */
  #unacknowledged: Report | undefined;

  constructor(options: ReportSenderOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.clock);
  }

  /** The state may have changed. */
  changed(): void {
    this.#compose();
    this.#alarm.ring();
  }

  /** A config came that has to be answered. */
  configCame(): void {
    this.#unanswered = { since: this.#unanswered?.since ?? this.#options.clock.monotonic() };
    this.#alarm.ring();
  }

  /** There is a connection: what could not be sent is tried at once. */
  connected(): void {
    this.#retryNotBefore = 0;
    this.#failures = 0;
    this.#alarm.ring();
  }

  /** Sends until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.#options;
    try {
      for (;;) {
        const unanswered = this.#unanswered; // what this report answers: not a config that comes while it is measured and sent
        const { report, until } = this.#compose();
        const now = clock.monotonic();
        const context = { now, unansweredSince: unanswered?.since, intervalMs };
        const due =
          report === undefined ? now + intervalMs : Math.max(this.#retryNotBefore, this.#answeredNotBefore, dueAt(report, this.#reported, context));
        if (report === undefined || due > now) await this.#alarm.wait(Math.min(due, until ?? due) - now, signal);
        else await this.#send(report, unanswered, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /**
   * The newest state, in which a target that failed a short while ago, and flips, has failed. `until`: when that is
   * over.
   */
  #compose(): Readonly<{ report: Report | undefined; until: number | undefined }> {
    const composed = this.#options.compose();
    if (composed === undefined) return { report: undefined, until: undefined };
    const now = this.#options.clock.monotonic();
    this.#seenFailures = failuresAfter(composed, this.#seenFailures, now);
    return withHeldFailures(composed, this.#seenFailures, { holdMs: holdMs(this.#reported), now });
  }

  async #send(composed: Report, answered: Unanswered | undefined, signal: AbortSignal): Promise<void> {
    const { clock, log, submit } = this.#options;
    const report = await this.#reportOf(composed, signal);
    try {
      await submit(report, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (this.#isToldToWait(error)) return;
      this.#failures++;
      const waitMs = withJitter(backoffMs({ firstMs: FIRST_RETRY_MS, longestMs: LONGEST_RETRY_MS }, this.#failures));
      this.#retryNotBefore = clock.monotonic() + waitMs;
      const detail = { reason: messageOf(error), retryInMs: Math.round(waitMs) };
      if (isNebulaError(error, "unavailable")) log.debug(detail, "the report could not be sent");
      else log.warn(detail, "the report was refused");
      return;
    }
    this.#unacknowledged = undefined;
    this.#failures = 0;
    this.#answeredNotBefore = 0;
    if (this.#unanswered === answered) this.#unanswered = undefined;
    this.#reported = reportedAfter(report, this.#reported, clock.monotonic());
    this.#options.onArrived?.(report);
  }

  /** S3: an answer of the server is not a failure; it is logged once until a report arrives. */
  #isToldToWait(error: unknown): boolean {
    if (!isNebulaError(error, "resource_exhausted") || error.retryAfterMs === undefined) return false;
    const { clock, log } = this.#options;
    const waitMs = error.retryAfterMs * (1 + Math.random() / 10);
    const detail = { reason: error.message, retryInMs: Math.round(waitMs) };
    if (this.#answeredNotBefore === 0) log.info(detail, "the server takes the report later");
    else log.debug(detail, "the server takes the report later");
    this.#answeredNotBefore = clock.monotonic() + waitMs;
    return true;
  }

  async #reportOf(composed: Report, signal: AbortSignal): Promise<Report> {
    const { clock, measure, intervalMs } = this.#options;
    if (this.#unacknowledged !== undefined && tellsTheSame(this.#unacknowledged, composed)) return this.#unacknowledged; // S2
    const isPeriodic = this.#reported.revisions === undefined || clock.monotonic() >= this.#reported.at + intervalMs;
    const report = await measure(composed, isPeriodic, signal);
    report.seq = ++this.#seq;
    report.createdAt = timestampFromMs(clock.now());
    this.#unacknowledged = report;
    return report;
  }
}
