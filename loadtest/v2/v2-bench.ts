import { fileURLToPath } from "node:url";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { isPollAnswer, type PollAnswer, type PollCommand } from "../client/poll-protocol.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { median } from "../measure/quantiles.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import { LOGINS, openV2Servers, type V2Servers } from "./v2-servers.ts";

const POLL_FILE = fileURLToPath(new URL("../client/poll-process.ts", import.meta.url));

/** The server that is polled, and the login of the poller. */
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
  /** From the first connection's beginning until each was answered once, milliseconds: while a server is busy, Node accepts one per turn of its loop. */
  firstAnswersMs: number;
  /** Calls to the managers' stores meanwhile. */
  storeCalls: number;
  /** The share of a processor that the client used. */
  clientBusy: number;
  /** The share of a processor that the server used. */
  serverBusy: number;
  /** The share of the processors' time that the host took away during its slices. */
  stolenShare: number;
}>;

export type V2Run = Readonly<{ way: Way; polled: PolledName; figures: V2Figures }>;

export type V2BenchOptions = Readonly<{
  runs: number;
  connections: number;
  warmUpMs: number;
  /** How long each server is measured in all, and in one slice of it. */
  measureMs: number;
  sliceMs: number;
  processors: Readonly<{ server: Processors; fleet: Processors }>;
  signal: AbortSignal;
  say: (line: string) => void;
}>;

/** Polls the servers in short slices in turn, each way by itself: the machine's speed drifts, and slices that alternate share the drift. */
export async function benchV2(options: V2BenchOptions): Promise<{ runs: V2Run[]; bodyBytes: number }> {
  const { server, fleet } = options.processors;
  await using servers = await openV2Servers({ server, others: fleet, signal: options.signal });
  const runs: V2Run[] = [];
  for (let run = 0; run < options.runs; run++) for (const way of WAYS) runs.push(...(await runWay(servers, way, options)));
  return { runs, bodyBytes: servers.bodyBytes };
}

async function runWay(servers: V2Servers, way: Way, options: V2BenchOptions): Promise<V2Run[]> {
  await using opened = new AsyncDisposableStack();
  const polls: Poll[] = [];
  for (const polled of POLLED) polls.push(opened.use(await Poll.open(servers, way, polled, options)));
  for (let left = options.measureMs; left > 0; left -= options.sliceMs) {
    for (const poll of polls) await poll.slice(Math.min(left, options.sliceMs));
  }
  const runs: V2Run[] = [];
  for (const poll of polls) {
    const figures = await poll.finish();
    options.say(`${way}, ${poll.polled}: ${figures.requestsPerSecond.toFixed(0)} requests per second`);
    runs.push({ way, polled: poll.polled, figures });
  }
  return runs;
}

/** One server polled in one way, by a process of its own. */
class Poll implements AsyncDisposable {
  readonly polled: PolledName;
  readonly #servers: V2Servers;
  readonly #client: BenchProcess;
  readonly #firstAnswersMs: number;
  readonly #stolen = new StolenTime();
  #serverMs = 0;
  #clientMs = 0;
  #storeCalls = 0;

  private constructor(polled: PolledName, servers: V2Servers, client: BenchProcess, firstAnswersMs: number) {
    this.polled = polled;
    this.#servers = servers;
    this.#client = client;
    this.#firstAnswersMs = firstAnswersMs;
  }

  static async open(servers: V2Servers, way: Way, polled: PolledName, options: V2BenchOptions): Promise<Poll> {
    const { connections, warmUpMs, processors, signal } = options;
    const once = way === "a connection per request";
    const { port } = polled === "bare" ? servers.bare : servers.gateway;
    const request = [
      `GET ${servers.path} HTTP/1.1`,
      "Host: 127.0.0.1",
      "User-Agent: bench",
      "Accept: */*",
      `Connection: ${once ? "close" : "keep-alive"}`,
      `Authorization: ${servers.authorization[polled === "bare" ? "admin" : polled]}`,
      "",
      "",
    ].join("\r\n");
    await using opening = new AsyncDisposableStack();
    const command = [process.execPath, POLL_FILE];
    const client = opening.use(new BenchProcess({ name: "the client", command, processors: processors.fleet, signal }));
    const answer = await ask(client, { kind: "open", port, request, connections, once, warmUpMs }, "opened");
    opening.move();
    return new Poll(polled, servers, client, answer.firstAnswersMs);
  }

  async slice(ms: number): Promise<void> {
    const calls = await this.#servers.storeCalls();
    const [server, client] = [this.#server().cpuMs, this.#client.figures().cpuMs];
    await this.#stolen.during(() => ask(this.#client, { kind: "slice", ms }, "measured"));
    this.#serverMs += this.#server().cpuMs - server;
    this.#clientMs += this.#client.figures().cpuMs - client;
    this.#storeCalls += (await this.#servers.storeCalls()) - calls;
  }

  async finish(): Promise<V2Figures> {
    const { requests, tookMs, p50Ms, p99Ms, slowestShare } = await ask(this.#client, { kind: "finish" }, "polled");
    return {
      requestsPerSecond: (requests * 1000) / tookMs,
      requestsPerCoreSecond: (requests * 1000) / Math.max(this.#serverMs, 1),
      p50Ms,
      p99Ms,
      slowestShare,
      firstAnswersMs: this.#firstAnswersMs,
      storeCalls: this.#storeCalls,
      clientBusy: this.#clientMs / tookMs,
      serverBusy: this.#serverMs / tookMs,
      stolenShare: this.#stolen.share,
    };
  }

  #server(): ProcessFigures {
    return (this.polled === "bare" ? this.#servers.bare : this.#servers.gateway).figures();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
  }
}

async function ask<Kind extends PollAnswer["kind"]>(
  client: BenchProcess,
  command: PollCommand,
  kind: Kind,
): Promise<Extract<PollAnswer, { kind: Kind }>> {
  const answer = await client.ask(command, isPollAnswer);
  if (isOf(answer, kind)) return answer;
  throw new NebulaError("unavailable", answer.kind === "failed" ? answer.reason : `the client said ${answer.kind} in place of ${kind}`);
}

function isOf<Kind extends PollAnswer["kind"]>(answer: PollAnswer, kind: Kind): answer is Extract<PollAnswer, { kind: Kind }> {
  return answer.kind === kind;
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
    firstAnswersMs: over("firstAnswersMs"),
    storeCalls: over("storeCalls"),
    clientBusy: over("clientBusy"),
    serverBusy: over("serverBusy"),
    stolenShare: over("stolenShare"),
  };
}
