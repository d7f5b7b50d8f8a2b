import { fileURLToPath } from "node:url";
import { NebulaError } from "../common/errors/nebula-error.ts";
import { isPollAnswer, type PollAnswer, type PollCommand } from "./client/poll-protocol.ts";
import { median } from "./measure/quantiles.ts";
import { BenchProcess } from "./processes/bench-process.ts";
import type { Processors } from "./processes/processors.ts";
import { LOGINS, openV2Servers, type V2Servers } from "./v2-servers.ts";

const POLL_FILE = fileURLToPath(new URL("./client/poll-process.ts", import.meta.url));

/** Who is polled, and how whoever polls logs in. */
export const POLLED = ["bare", ...LOGINS] as const;
export type PolledName = (typeof POLLED)[number];

export const WAYS = ["keep-alive", "a connection per request"] as const;
export type Way = (typeof WAYS)[number];

/** Figures of one run of one subject. */
export type V2Figures = Readonly<{
  requestsPerSecond: number;
  /** Per second of the server's processor time: what one core answers, also where the client is the bottleneck. */
  requestsPerCoreSecond: number;
  p50Ms: number;
  p99Ms: number;
  slowestShare: number;
  /** Calls to the managers' stores meanwhile. */
  storeCalls: number;
  /** The share of a processor that the client used. */
  clientBusy: number;
  /** The share of a processor that the server used. */
  serverBusy: number;
}>;

export type V2Run = Readonly<{ way: Way; polled: PolledName; figures: V2Figures }>;

export type V2BenchOptions = Readonly<{
  runs: number;
  connections: number;
  warmUpMs: number;
  measureMs: number;
  processors: Readonly<{ server: Processors; fleet: Processors }>;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** Polls each server in each way in turn, so often; the machine's speed drifts, and runs that take turns still compare. */
export async function benchV2(options: V2BenchOptions): Promise<{ runs: V2Run[]; bodyBytes: number }> {
  const { server, fleet } = options.processors;
  await using servers = await openV2Servers({ server, others: fleet, signal: options.signal });
  const runs: V2Run[] = [];
  for (let run = 0; run < options.runs; run++) {
    for (const way of WAYS) {
      for (const polled of POLLED) {
        const figures = await runOnce(servers, way, polled, options);
        options.say(`${way}, ${polled}: ${figures.requestsPerSecond.toFixed(0)} requests per second`);
        runs.push({ way, polled, figures });
      }
    }
  }
  return { runs, bodyBytes: servers.bodyBytes };
}

async function runOnce(servers: V2Servers, way: Way, polled: PolledName, options: V2BenchOptions): Promise<V2Figures> {
  const { connections, warmUpMs, measureMs, processors, signal } = options;
  const once = way === "a connection per request";
  const { port, figures } = polled === "bare" ? servers.bare : servers.gateway;
  const authorization = servers.authorization[polled === "bare" ? "admin" : polled];
  const request = [
    `GET ${servers.path} HTTP/1.1`,
    "Host: 127.0.0.1",
    "User-Agent: bench",
    "Accept: */*",
    `Connection: ${once ? "close" : "keep-alive"}`,
    `Authorization: ${authorization}`,
    "",
    "",
  ].join("\r\n");
  await using client = new BenchProcess({ name: "the client", command: [process.execPath, POLL_FILE], processors: processors.fleet, signal });
  const command: PollCommand = { kind: "poll", port, request, connections, once, warmUpMs, measureMs };
  const { kind } = succeeded(await client.ask(command, isPollAnswer));
  if (kind !== "measuring") throw new NebulaError("internal", `the client said ${kind} before it measured`);
  const before = { server: figures().cpuMs, client: client.figures().cpuMs, calls: await servers.storeCalls() };
  const answer = succeeded(await client.next(isPollAnswer));
  if (answer.kind !== "polled") throw new NebulaError("internal", `the client said ${answer.kind} in place of what it measured`);
  const [serverMs, clientMs] = [figures().cpuMs - before.server, client.figures().cpuMs - before.client];
  const { requests, tookMs, p50Ms, p99Ms, slowestShare } = answer;
  return {
    requestsPerSecond: (requests * 1000) / tookMs,
    requestsPerCoreSecond: (requests * 1000) / Math.max(serverMs, 1),
    p50Ms,
    p99Ms,
    slowestShare,
    storeCalls: (await servers.storeCalls()) - before.calls,
    clientBusy: clientMs / tookMs,
    serverBusy: serverMs / tookMs,
  };
}

function succeeded(answer: PollAnswer): Exclude<PollAnswer, { kind: "failed" }> {
  if (answer.kind === "failed") throw new NebulaError("unavailable", answer.reason);
  return answer;
}

/** The median of each figure of one server polled in one way. */
export function medianFigures(runs: readonly V2Run[], way: Way, polled: PolledName): V2Figures {
  const of = runs.filter((run) => run.way === way && run.polled === polled).map(({ figures }) => figures);
  const over = (figure: keyof V2Figures) => median(of.map((figures) => figures[figure]));
  return {
    requestsPerSecond: over("requestsPerSecond"),
    requestsPerCoreSecond: over("requestsPerCoreSecond"),
    p50Ms: over("p50Ms"),
    p99Ms: over("p99Ms"),
    slowestShare: over("slowestShare"),
    storeCalls: over("storeCalls"),
    clientBusy: over("clientBusy"),
    serverBusy: over("serverBusy"),
  };
}
