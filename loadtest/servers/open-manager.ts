import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import { type CallOptions, GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { BenchProcess, isReady, NODE_FLAGS } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import type { LoopDelays } from "./observe-process.ts";

const SERVER_FILE = fileURLToPath(new URL("./manager.ts", import.meta.url));
const CALL_LIMIT_MS = 60_000;

/** A manager with a reporter, a process of its own on a store of its own, and a way to call it as its admin. */
export type BenchManager = AsyncDisposable &
  Readonly<{
    port: number;
    /** Of the admin. */
    token: string;
    channel: GrpcChannel;
    call: CallOptions;
    figures(): ProcessFigures;
    /** How often its stores of configs and of access were called so far. */
    storeCalls(): Promise<number>;
    /** Devices whose presence is not in the store yet. */
    presenceWaiting(): Promise<number>;
    /** Enrols the first devices of a fleet in a device_group, each with a token of its own (`deviceToken`). */
    enrol(deviceGroup: string, devices: number): Promise<void>;
    /** How long its event loop was held during an act. */
    loopDelays(act: () => Promise<void>): Promise<LoopDelays>;
    /** Resident memory after a collection of garbage, bytes. */
    usedBytes(): Promise<number>;
    /** Memory of its objects after a collection of garbage, bytes: what it gave back and may take again is not in it. */
    heapBytes(): Promise<number>;
    /** User and system time so far, microseconds. */
    cpuUs(): Promise<number>;
    /** Writes a CPU profile of an act, for the developer tools of a browser. */
    profile(file: string, act: () => Promise<void>): Promise<void>;
  }>;

export type OpenManagerOptions = Readonly<{
  processors: Processors;
  signal: AbortSignal;
  /** Whether it writes which devices are connected; true unless given. */
  presence?: boolean;
}>;

export async function openManager({ processors, signal, presence = true }: OpenManagerOptions): Promise<BenchManager> {
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.adopt(mkdtempSync(join(tmpdir(), "nebula-bench-")), (dir) => rmSync(dir, { recursive: true, force: true }));
  const token = randomBytes(32).toString("hex");
  const server = opening.use(
    new BenchProcess({
      name: "the manager",
      command: [process.execPath, ...NODE_FLAGS, "--expose-gc", SERVER_FILE],
      processors,
      env: { NEBULA_BENCH_TOKEN: token, NEBULA_BENCH_DATA: dataDir, NEBULA_BENCH_PRESENCE: presence ? "on" : "off" },
      signal,
    }),
  );
  const { port } = await server.next(isReady);
  const channel = opening.use(new GrpcChannel(`127.0.0.1:${port}`, credentials.createInsecure()));
  const opened = opening.move();
  return {
    port,
    token,
    channel,
    call: { headers: { authorization: `Bearer ${token}` }, signal, timeoutMs: CALL_LIMIT_MS },
    figures: () => server.figures(),
    storeCalls: async () => (await server.ask({ kind: "count-store-calls" }, isStoreCalls)).count,
    presenceWaiting: async () => (await server.ask({ kind: "presence-waiting" }, isPresenceWaiting)).count,
    enrol: async (deviceGroup, devices) => void (await server.ask({ kind: "enrol", deviceGroup, devices }, isOf("enrolled"))),
    loopDelays: async (act) => {
      await server.ask({ kind: "reset-loop-delays" }, isOf("loop-delays-reset"));
      await act();
      return (await server.ask({ kind: "loop-delays" }, isLoopDelays)).delays;
    },
    usedBytes: async () => {
      await server.ask({ kind: "collect-garbage" }, isOf("garbage-collected"));
      return server.figures().rssBytes;
    },
    heapBytes: async () => (await server.ask({ kind: "collect-garbage" }, isGarbageCollected)).heapBytes,
    cpuUs: async () => (await server.ask({ kind: "cpu-time" }, isCpuTime)).cpuUs,
    profile: async (file, act) => {
      await server.ask({ kind: "start-profile" }, isOf("profile-started"));
      await act();
      await server.ask({ kind: "write-profile", file }, isOf("profile-written"));
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function isOf(kind: string): (message: unknown) => message is object {
  return (message): message is object => typeof message === "object" && message !== null && "kind" in message && message.kind === kind;
}

function isLoopDelays(message: unknown): message is { kind: "loop-delays"; delays: LoopDelays } {
  return isOf("loop-delays")(message) && "delays" in message;
}

function isGarbageCollected(message: unknown): message is { kind: "garbage-collected"; heapBytes: number } {
  return isOf("garbage-collected")(message) && "heapBytes" in message;
}

function isCpuTime(message: unknown): message is { kind: "cpu-time-used"; cpuUs: number } {
  return isOf("cpu-time-used")(message) && "cpuUs" in message;
}

function isStoreCalls(message: unknown): message is { kind: "store-calls"; count: number } {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "store-calls";
}

function isPresenceWaiting(message: unknown): message is { kind: "presence-waiting"; count: number } {
  return typeof message === "object" && message !== null && "kind" in message && message.kind === "presence-waiting";
}
