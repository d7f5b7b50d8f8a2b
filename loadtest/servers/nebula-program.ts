import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { credentials } from "@grpc/grpc-js";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type CallOptions, GrpcChannel } from "../../common/rpc/grpc-channel.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { ShardService } from "../../gen/nebula/v1/shard_pb.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { BenchProcess, NODE_FLAGS } from "../processes/bench-process.ts";
import type { Processors } from "../processes/processors.ts";
import { BENCH_ADMIN_PASSWORD, BENCH_CLUSTER_KEY } from "./bench-secrets.ts";

const PROGRAM = fileURLToPath(new URL("../../cli/nebula.js", import.meta.url));
const CALL_LIMIT_MS = 60_000;
const READY_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 100;

export type ProgramOptions = Readonly<{
  part: "server" | "manager";
  /** Settings besides those of every bench. */
  env?: Readonly<Record<string, string>>;
  /** Of gRPC; a free one unless given. */
  port?: number;
  /** Of the admin; a fresh one unless given. */
  token?: string;
  processors: Processors;
  signal: AbortSignal;
}>;

/** `nebula server` or `nebula manager` as an operator starts it, with authentication on, and a way to call it as its admin. Disposing kills it. */
export type NebulaProgram = AsyncDisposable &
  Readonly<{
    port: number;
    /** host:port, as workers dial it. */
    address: string;
    /** Of the HTTP side of a server, and of its dashboard. */
    url: string;
    metricsUrl: string;
    /** Of the admin. */
    token: string;
    channel: GrpcChannel;
    call: CallOptions;
    figures(): ProcessFigures;
    /** Ends it as an operator does: SIGTERM. Resolves when it has ended; rejects where its exit code is not 0. */
    stop(): Promise<void>;
  }>;

/** Starts one; resolves when /readyz names nothing that is missing. */
export async function startProgram(options: ProgramOptions): Promise<NebulaProgram> {
  const { part, env = {}, token = randomBytes(32).toString("hex"), processors, signal } = options;
  await using opening = new AsyncDisposableStack();
  const dataDir = opening.adopt(mkdtempSync(join(tmpdir(), "nebula-bench-")), (dir) => rmSync(dir, { recursive: true, force: true }));
  const [port, httpPort, metricsPort] = [options.port ?? (await freePort()), await freePort(), await freePort()];
  const address = `127.0.0.1:${port}`;
  const program = opening.use(
    new BenchProcess({
      name: `nebula ${part}`,
      command: [process.execPath, ...NODE_FLAGS, PROGRAM, part],
      processors,
      channel: false,
      env: {
        NEBULA_GRPC_LISTEN: address,
        ...(part === "server" ? { NEBULA_HTTP_LISTEN: `127.0.0.1:${httpPort}` } : {}),
        NEBULA_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
        NEBULA_DATA: dataDir,
        NEBULA_CLUSTER_KEY: BENCH_CLUSTER_KEY,
        NEBULA_ADMIN_PASSWORD: BENCH_ADMIN_PASSWORD,
        NEBULA_ADMIN_TOKEN: token,
        NEBULA_LOG_LEVEL: "warn",
        ...env,
      },
      signal,
    }),
  );
  await becomesReady(program, `http://127.0.0.1:${metricsPort}/readyz`, signal);
  const channel = opening.use(new GrpcChannel(address, credentials.createInsecure()));
  const opened = opening.move();
  return {
    port,
    address,
    url: `http://127.0.0.1:${httpPort}`,
    metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
    token,
    channel,
    call: { headers: { authorization: `Bearer ${token}` }, signal, timeoutMs: CALL_LIMIT_MS },
    figures: () => program.figures(),
    stop: () => program.stop(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Resolves when a shard lists these addresses and no other: all have joined, and those before them are forgotten. */
export async function membersAre(shard: NebulaProgram, addresses: readonly string[], signal: AbortSignal): Promise<void> {
  const wanted = JSON.stringify(addresses.toSorted());
  await until(`the shards to be ${wanted}`, signal, async () => {
    const { shards } = await shard.channel.unary(ShardService.method.getShardMap, { deviceGroup: "any", deviceId: "any" }, shard.call);
    return JSON.stringify(shards.map(({ address }) => address).toSorted()) === wanted;
  });
}

async function becomesReady(program: BenchProcess, url: string, signal: AbortSignal): Promise<void> {
  await until("a program to be ready", signal, async () => {
    program.figures(); // throws with its last words once it has ended
    const response = await fetch(url, { signal }).catch(() => undefined);
    await response?.body?.cancel();
    return response?.ok === true;
  });
}

async function until(what: string, signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + READY_LIMIT_MS;
  while (!(await check())) {
    if (performance.now() > end) throw new NebulaError("deadline_exceeded", `waited ${READY_LIMIT_MS / 1000} s for ${what}`);
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}
