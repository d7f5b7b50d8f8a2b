import type { Clock } from "../../common/clock/clock.ts";
import { type ErrorKind, isNebulaError, messageOf } from "../../common/errors/nebula-error.ts";
import type { GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { ConfigService, type Redirect, type WatchConfigRequest, type WatchConfigResponse } from "../../gen/nebula/v1/config_pb.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { WatchOutcome } from "./moves.ts";

/** An answer that tells something about the config. */
export type WatchAnswer = Exclude<WatchConfigResponse["answer"], { case: "redirect" | undefined }>;

export type WatchAttempt = Readonly<{
  channel: GrpcChannel;
  request: Omit<WatchConfigRequest, "$typeName" | "$unknown">;
  headers: Readonly<Record<string, string>>;
  /** How long the connection may take, milliseconds. */
  reachMs: number;
  clock: Clock;
  /** Called for every answer but a redirect; the first one says that the shard serves. */
  onAnswer: (answer: WatchAnswer) => void;
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
export async function attemptWatch({ channel, request, headers, reachMs, clock, onAnswer, dead, signal }: WatchAttempt): Promise<WatchOutcome> {
  const reached = await reach(channel, reachMs, signal);
  if (reached !== undefined) return reached;
  let servedSince: number | undefined;
  const uptime = () => (servedSince === undefined ? 0 : clock.monotonic() - servedSince);
  const ended = (reason: string): WatchOutcome =>
    servedSince === undefined ? { kind: "failed", reason } : { kind: "ended", uptimeMs: uptime(), reason };
  try {
    for await (const { answer } of channel.serverStream(ConfigService.method.watchConfig, request, {
      headers,
      signal: AbortSignal.any([signal, dead]),
    })) {
      if (answer.case === "redirect") return redirected(answer.value, uptime());
      if (answer.case === undefined) continue; // an answer of a server that is newer than this worker
      servedSince ??= clock.monotonic();
      onAnswer(answer);
    }
    signal.throwIfAborted();
    return ended("the manager ended the watch");
  } catch (error) {
    signal.throwIfAborted();
    return refusal(error) ?? ended(messageOf(dead.aborted ? dead.reason : error));
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
