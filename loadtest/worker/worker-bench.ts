import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { bundlePrograms } from "../../cli/build/bundle-programs.ts";
import { NebulaError } from "../../common/errors/nebula-error.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { DeviceGroupService } from "../../gen/nebula/v1/device_group_pb.ts";
import { type Report, ReportService, TargetState } from "../../gen/nebula/v1/report_pb.ts";
import type { ProcessFigures } from "../measure/process-figures.ts";
import { StolenTime } from "../measure/stolen-time.ts";
import { BenchProcess } from "../processes/bench-process.ts";
import { type BenchManager, openManager } from "../servers/open-manager.ts";
import { EngineView } from "./engine-view.ts";

export type WorkerBenchOptions = Readonly<{
  /** How long the worker is looked at while nothing changes, seconds. */
  seconds: number;
  pushes: number;
  containers: number;
  /** As NEBULA_RUNTIME names it. */
  engine: string;
  image: string;
  /** The bundled worker, or as its source is. */
  program: "bundled" | "source";
  signal: AbortSignal;
  say: (line: string) => void;
}>;

export type WorkerFigures = Readonly<{
  /** Resident memory, bytes: once its containers run, and after it was idle. */
  convergedBytes: number;
  idleBytes: number;
  /** User and system time, milliseconds: from the start until its containers ran, and while idle. */
  startCpuMs: number;
  idleCpuMs: number;
  /** From the API's answer to a change until the container of the new revision was started, milliseconds, one per push. */
  pushToRunningMs: readonly number[];
  /** The share of the processors' time that the host took away, while idle and during the pushes. */
  stolenShare: number;
}>;

const GROUP = "bench";
const CONVERGE_LIMIT_MS = 120_000;
const LOOK_EVERY_MS = 200;
/** After the start, and after each push, the worker is left alone for this time. */
const SETTLE_MS = 3000;
const SETTLE_AFTER_PUSH_MS = 1000;
const FOREVER = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"];

/** One worker on a real engine with some containers: what it takes while nothing happens, and how fast a change becomes a running container. */
export async function benchWorker(options: WorkerBenchOptions): Promise<WorkerFigures> {
  const { engine: url, containers, seconds, pushes, signal, say } = options;
  const instance = `bench${randomBytes(4).toString("hex")}`;
  await using opened = new AsyncDisposableStack();
  const folder = opened.adopt(mkdtempSync(join(tmpdir(), "nebula-bench-worker-")), (path) => rmSync(path, { recursive: true, force: true }));
  const file = await programFile(options.program, folder);
  const engine = opened.use(await EngineView.open(url, instance, signal));
  const manager = opened.use(await openManager({ processors: undefined, signal }));
  const apps = await createApps(manager, options);

  const start = startOf(file);
  const worker = opened.use(
    new BenchProcess({
      name: "the worker",
      command: [process.execPath, ...start.flags, file, "--data", join(folder, "data"), "--runtime", url, "--adopt", "false"],
      processors: undefined,
      env: {
        ...start.env,
        NEBULA_SERVER: `grpc://127.0.0.1:${manager.port}`,
        NEBULA_TOKEN: manager.token,
        NEBULA_DEVICE_GROUP: GROUP,
        NEBULA_DEVICE_ID: instance,
        NEBULA_INSTANCE: instance,
        NEBULA_LOG_LEVEL: "warn",
      },
      channel: false,
      signal,
    }),
  );
  await converged(manager, worker, engine, containers, signal);
  await delay(SETTLE_MS, undefined, { signal });
  const before = worker.figures();
  say(`${containers} containers run; the worker has ${mebibytes(before)} MB`);

  const stolen = new StolenTime();
  await stolen.during(() => delay(seconds * 1000, undefined, { signal }));
  const idle = worker.figures();
  say(`${seconds} s without a change: ${mebibytes(idle)} MB, ${((idle.cpuMs - before.cpuMs) / 1000).toFixed(2)} s of CPU`);

  const pushToRunningMs: number[] = [];
  for (let push = 0; push < pushes; push++) {
    pushToRunningMs.push(await stolen.during(() => pushOne(manager, engine, apps[push % apps.length] ?? "", signal)));
    await delay(SETTLE_AFTER_PUSH_MS, undefined, { signal });
  }
  return {
    convergedBytes: before.rssBytes,
    idleBytes: idle.rssBytes,
    startCpuMs: before.cpuMs,
    idleCpuMs: idle.cpuMs - before.cpuMs,
    pushToRunningMs,
    stolenShare: stolen.share,
  };
}

async function programFile(program: WorkerBenchOptions["program"], folder: string): Promise<string> {
  if (program === "source") return join(import.meta.dirname, "..", "cli", "nebula-worker.ts");
  await bundlePrograms(folder);
  return join(folder, "nebula-worker.mjs");
}

/** The flags and the variables that a program's first line has Node run it with: `#!/usr/bin/env -S NAME=value ... node --flag ...`. */
function startOf(file: string): { flags: readonly string[]; env: Readonly<Record<string, string>> } {
  const [line = ""] = readFileSync(file, "utf8").split("\n", 1);
  const words = line.split(" -S ")[1]?.split(" ") ?? [];
  const node = words.indexOf("node");
  const variables = words
    .slice(0, Math.max(0, node))
    .map((word): [string, string] => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]);
  return { flags: words.slice(node + 1), env: Object.fromEntries(variables) };
}

async function createApps({ channel, call }: BenchManager, { containers, image }: WorkerBenchOptions): Promise<string[]> {
  const names = Array.from({ length: containers }, (_, i) => `bench-${i + 1}`);
  for (const name of names) {
    const app = { name, dockerImage: image, command: FOREVER, envVars: { PUSH: "0" }, pullPolicy: PullPolicy.MISSING };
    await channel.unary(AppService.method.createApp, { app }, call);
  }
  await channel.unary(DeviceGroupService.method.createDeviceGroup, { deviceGroup: { name: GROUP, apps: names } }, call);
  return names;
}

/** Waits until the containers run, and the worker has reported that they are as they should be. */
async function converged(manager: BenchManager, worker: BenchProcess, engine: EngineView, containers: number, signal: AbortSignal): Promise<void> {
  const end = performance.now() + CONVERGE_LIMIT_MS;
  for (;;) {
    worker.figures(); // throws when it has ended
    const running = await engine.running(signal);
    const newest = await newestReport(manager);
    if (running === containers && newest?.state === TargetState.APPLIED) return;
    if (performance.now() > end) {
      const reasons = new Set(newest?.apps.map(({ reason }) => reason).filter((reason) => reason !== ""));
      const told = newest === undefined ? "it has reported nothing" : [...reasons].join("; ");
      throw new NebulaError("deadline_exceeded", `after ${CONVERGE_LIMIT_MS / 1000} s ${running} of ${containers} containers run: ${told}`);
    }
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}

async function newestReport({ channel, call }: BenchManager): Promise<Report | undefined> {
  const { reports } = await channel.unary(ReportService.method.listReports, { deviceGroup: GROUP }, call);
  return reports.at(-1)?.report;
}

/** Changes an app; how long after the answer its new container was started, milliseconds. */
async function pushOne({ channel, call }: BenchManager, engine: EngineView, app: string, signal: AbortSignal): Promise<number> {
  const { app: before } = await channel.unary(AppService.method.getApp, { name: app }, call);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CONVERGE_LIMIT_MS)]);
  const started = engine.started(app, (before?.revision ?? 0n) + 1n, limit);
  started.catch(() => {}); // awaited below
  const update = { app: { name: app, envVars: { PUSH: randomBytes(4).toString("hex") } }, updateFields: ["env_vars.PUSH"] };
  await channel.unary(AppService.method.updateApp, update, call);
  const answeredAt = performance.timeOrigin + performance.now();
  return (await started).at - answeredAt;
}

function mebibytes({ rssBytes }: ProcessFigures): string {
  return (rssBytes / 1024 / 1024).toFixed(1);
}
