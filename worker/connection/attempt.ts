import type { Clock } from "../../common/clock/clock.ts";
import { type ErrorKind, isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import {
  ConfigService,
  type Redirect,
  type WatchAndReportResponse,
  type WatchConfigRequest,
  type WatchConfigResponse,
} from "../../gen/nebula/v1/config_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { WatchOutcome } from "./moves.ts";
import { ReportStream } from "./report-stream.ts";

/** An answer that tells something about the config. */
export type WatchAnswer = Exclude<WatchConfigResponse["answer"], { case: "redirect" | undefined }>;

export type WatchAttempt = Readonly<{
  channel: GrpcChannel;
  request: Omit<WatchConfigRequest, "$typeName" | "$unknown">;
  headers: Readonly<Record<string, string>>;
  /** Whether the server may have WatchAndReport, and be reached by it; false: the watch is one of WatchConfig. */
  mayTakeReports: boolean;
  /** Called when no server serves WatchAndReport here. WatchConfig is next. */
  onNoReports: (why: NoReports) => void;
  /** How long the connection may take, milliseconds. */
  reachMs: number;
  /** How long WatchAndReport may stay without any answer, milliseconds. */
  answerMs?: number | undefined;
  clock: Clock;
  /**
   * Called for every answer about the config; the first one says that the shard serves.
   * @param reports takes reports from then on; undefined: they are sent by SubmitReports
   */
  onAnswer: (answer: WatchAnswer, reports: ReportStream | undefined) => void;
  /** Aborted, with an error, once the connection is known to be dead. */
  dead: AbortSignal;
  signal: AbortSignal;
}>;

/**
 * Why a watch is one of WatchConfig. `unimplemented`: the server, or a proxy, answers that it has no WatchAndReport. A proxy that passes on no request before
 * its end answers one that streams by an error of its own (`internal`), or holds it back without an answer (`silent`).
 */
export type NoReports = Readonly<{ kind: "no_reports"; cause: "unimplemented" | "internal" | "silent"; reason: string }>;

/** How long WatchAndReport may stay without any answer, milliseconds: a manager to which a whole fleet comes back at once may take half of that. */
const LONGEST_SILENCE_MS = 120_000;

/** Kinds of errors that another try would meet again. */
const REFUSALS: ReadonlySet<ErrorKind> = new Set([
  "unauthenticated",
  "permission_denied",
  "invalid_argument",
  "unimplemented",
  "failed_precondition",
]);

/** Watches at one shard until that ends. Rejects only when the signal is aborted. */
export async function attemptWatch(attempt: WatchAttempt): Promise<WatchOutcome> {
  const { channel, request, headers, mayTakeReports, onNoReports, reachMs, onAnswer, dead, signal } = attempt;
  const reached = await reach(channel, reachMs, signal);
  if (reached !== undefined) return reached;
  if (mayTakeReports) {
    const outcome = await watchAndReport(attempt);
    if (outcome.kind !== "no_reports") return outcome;
    onNoReports(outcome);
  }
  const options = { headers, signal: AbortSignal.any([signal, dead]) };
  return follow(channel.serverStream(ConfigService.method.watchConfig, request, options), attempt, undefined, onAnswer);
}

/**
 * Watches by WatchAndReport. A manager sends the headers of its answer as soon as it has the watch, also while it cannot load the config: only a watch that
 * did not arrive is silent. A connection that is lost says nothing about WatchAndReport.
 */
async function watchAndReport(attempt: WatchAttempt): Promise<WatchOutcome | NoReports> {
  const { channel, request, headers, answerMs = LONGEST_SILENCE_MS, clock, onAnswer, dead, signal } = attempt;
  const silent = new AbortController();
  const answered = new AbortController();
  const { answers, send } = channel.bidiStream(
    ConfigService.method.watchAndReport,
    { request: { case: "watch", value: request } },
    { headers, signal: AbortSignal.any([signal, dead, silent.signal]), onHeaders: () => answered.abort() },
  );
  clock.sleep(answerMs, answered.signal).then(
    () => silent.abort(),
    () => {},
  );
  let isServed = false;
  const followed = follow(answers, attempt, new ReportStream(send), (answer, reports) => {
    isServed = true;
    onAnswer(answer, reports);
  });
  const outcome = await followed.finally(() => answered.abort());
  const noReports = (cause: NoReports["cause"], reason: string): NoReports => ({ kind: "no_reports", cause, reason });
  if (isServed) return outcome;
  if (silent.signal.aborted) return noReports("silent", `no answer within ${answerMs} ms`);
  if (outcome.kind === "refused" && outcome.problem === "unimplemented") return noReports("unimplemented", outcome.reason);
  if (outcome.kind === "failed" && outcome.error === "internal" && channel.connected) return noReports("internal", outcome.reason);
  return outcome;
}

type Answers = AsyncIterable<Pick<WatchConfigResponse | WatchAndReportResponse, "answer">>;

async function follow(
  answers: Answers,
  { clock, dead, signal }: Pick<WatchAttempt, "clock" | "dead" | "signal">,
  reports: ReportStream | undefined,
  onAnswer: WatchAttempt["onAnswer"],
): Promise<WatchOutcome> {
  let servedSince: number | undefined;
  const uptime = () => (servedSince === undefined ? 0 : clock.monotonic() - servedSince);
  const ended = (reason: string, error?: ErrorKind): WatchOutcome =>
    servedSince === undefined ? { kind: "failed", reason, error } : { kind: "ended", uptimeMs: uptime(), reason };
  try {
    for await (const { answer } of answers) {
      if (answer.case === "redirect") return redirected(answer.value, uptime());
      if (answer.case === undefined) continue; // an answer of a server that is newer than this worker
      if (answer.case === "report") {
        reports?.answered(answer.value);
        continue;
      }
      servedSince ??= clock.monotonic();
      onAnswer(answer, reports);
    }
    signal.throwIfAborted();
    return ended("the manager ended the watch");
  } catch (error) {
    signal.throwIfAborted();
    return refusal(error) ?? ended(messageOf(dead.aborted ? dead.reason : error), isNebulaError(error) ? error.kind : undefined);
  } finally {
    reports?.end();
  }
}

async function reach(channel: GrpcChannel, reachMs: number, signal: AbortSignal): Promise<WatchOutcome | undefined> {
  const onAbort = () => channel[Symbol.dispose]();
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    await channel.ready(reachMs);
    return undefined;
  } catch {
    signal.throwIfAborted();
    return { kind: "unreachable", reason: await whyUnreachable(channel, reachMs) };
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** The channel only says that it is not connected; a call over it says why: refused, a name that is unknown, a certificate. */
async function whyUnreachable(channel: GrpcChannel, reachMs: number): Promise<string> {
  try {
    await channel.unary(ShardService.method.getShardMap, {}, { timeoutMs: 10 });
  } catch (error) {
    if (isNebulaError(error, "unavailable")) return error.message;
  }
  return `no connection within ${reachMs} ms`;
}

/** An address is host:port and nothing else: no other scheme, no path. */
const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+):\d{1,5}$/;

export function isAddress(text: string): boolean {
  return HOST_PORT.test(text);
}

function redirected({ address, retryAfterMs }: Redirect, uptimeMs: number): WatchOutcome {
  return isAddress(address) ? { kind: "redirect", address, retryAfterMs } : { kind: "relocate", uptimeMs, retryAfterMs };
}

/** The refusal that an error stands for, if it is one. */
export function refusal(error: unknown): { kind: "refused"; problem: ErrorKind; reason: string } | undefined {
  return isNebulaError(error) && REFUSALS.has(error.kind) ? { kind: "refused", problem: error.kind, reason: error.message } : undefined;
}
