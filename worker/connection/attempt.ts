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
  /** Whether the server may have WatchAndReport; false: the watch is one of WatchConfig. */
  mayTakeReports: boolean;
  /** Called when the server answers that it has no WatchAndReport. WatchConfig is next. */
  onNoReports: () => void;
  /** How long the connection may take, milliseconds. */
  reachMs: number;
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
  const options = { headers, signal: AbortSignal.any([signal, dead]) };
  if (mayTakeReports) {
    const { answers, send } = channel.bidiStream(ConfigService.method.watchAndReport, { request: { case: "watch", value: request } }, options);
    let isServed = false;
    const outcome = await follow(answers, attempt, new ReportStream(send), (answer, reports) => {
      isServed = true;
      onAnswer(answer, reports);
    });
    if (isServed || outcome.kind !== "refused" || outcome.problem !== "unimplemented") return outcome;
    onNoReports();
  }
  return follow(channel.serverStream(ConfigService.method.watchConfig, request, options), attempt, undefined, onAnswer);
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
  const ended = (reason: string): WatchOutcome =>
    servedSince === undefined ? { kind: "failed", reason } : { kind: "ended", uptimeMs: uptime(), reason };
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
    return refusal(error) ?? ended(messageOf(dead.aborted ? dead.reason : error));
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
