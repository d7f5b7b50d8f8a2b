import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../common/clock/system-clock.ts";
import { silentLog } from "../../common/log/log.ts";
import { createRegistry } from "../../common/metrics/registry.ts";
import { printable } from "../../common/printable.ts";
import { formatAddress } from "../../common/settings/parse-listen-address.ts";
import { resolveSettings } from "../../common/settings/resolve-settings.ts";
import type { Settings } from "../../common/settings/settings.ts";
import type { RunningManager } from "../../manager/main.ts";
import { startServer } from "../nebula/start-server.ts";
import { onStopSignal } from "../nebula/stop-signals.ts";
import { DemoEngine, type EngineAnswer } from "./demo-engine.ts";
import { createNebulactl } from "./demo-nebulactl.ts";
import { exampleFile } from "./example-file.ts";
import { startFleet } from "./fleet.ts";
import { followRollout, type Rollout } from "./rollout.ts";
import { summary } from "./summary.ts";

/** Names in the example. */
const APP = "hello";
const GROUP = "demo";
/** What the example starts with, and what the demo changes it to. */
const IMAGES = ["busybox:1", "busybox:latest"] as const;
/** How long a change is followed at most, milliseconds. */
const FOLLOW_MS = 25_000;
/** How long the fleet has to connect, milliseconds. */
const CONNECT_MS = 10_000;

export type DemoOptions = Readonly<{
  /** Simulated devices. */
  devices: number;
  /** Stay up after the summary, until interrupted. */
  keep: boolean;
  print: (text: string) => void;
  /** Whether a person watches: then the progress is redrawn in place. */
  terminal: boolean;
}>;

/**
 * The tour: a server, a worker on the local Docker Engine where there is one, and a simulated fleet; an app is applied and its image changed once, while the
 * devices are watched. Everything that it made goes when it ends. Answers the exit code: 0 when every device followed.
 */
export async function runDemo({ devices, keep, print, terminal }: DemoOptions): Promise<number> {
  const example = exampleFile("demo.yaml");
  const stop = onStopSignal(print);
  const say = (line: string) => print(`${printable(line)}\n`);
  const log = silentLog;
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "nebula-demo-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));

  const server = stack.use(await startServer({ settings: serverSettings(folder), clock: systemClock, logOf: () => log, registry: createRegistry() }));
  const { gateway, manager, secrets } = server;
  if (gateway === undefined || manager === undefined || secrets === undefined) throw new Error("a server without its parts");
  const url = `http://${formatAddress(gateway.address)}`;
  const login = { url, grpcAddress: manager.address, password: secrets.adminPassword };
  say("A server with nothing else beside it: manager, gateway and reporter in one process, SQLite in a temporary folder.");
  say(`  API     ${url}  (and gRPC on ${manager.address})`);

  const engine = await DemoEngine.open({ images: IMAGES, log, signal: stop });
  if (engine.kind === "open") stack.use(engine.engine);
  say(`  devices ${devices} simulated ones${describeEngine(engine)}`);
  const instance = `demo-${randomBytes(3).toString("hex")}`;
  // what the worker made goes once the worker is gone: while it runs it would make it again
  if (engine.kind === "open") stack.defer(() => engine.engine.clean(instance));
  stack.use(
    await startFleet({
      login,
      deviceGroup: GROUP,
      simulated: devices,
      real: engine.kind === "open" ? { instance, runtime: engine.engine.runtime } : undefined,
      folder,
      log,
    }),
  );
  const expected = devices + (engine.kind === "open" ? 1 : 0);

  await connected(manager, expected, stop);

  const nebulactl = createNebulactl(login, say);
  const rollouts: Rollout[] = [];
  const change = async (title: string, args: readonly string[]) => {
    say(`\n$ nebulactl ${args.join(" ").replace(example, "examples/demo.yaml")}`);
    const before = performance.timeOrigin + performance.now();
    if ((await nebulactl(args)) !== 0) throw new Error(`nebulactl ${args[0]} failed`);
    rollouts.push(
      await followRollout({ login, app: APP, group: GROUP, title, calledAt: before, expected, timeoutMs: FOLLOW_MS, print, terminal, signal: stop }),
    );
  };
  await change("an app and a device_group are applied", ["apply", "-f", example]);
  if (!stop.aborted) await change(`its image is changed to ${IMAGES[1]}`, ["apps", "update", APP, "--image", IMAGES[1]]);

  for (const line of summary(rollouts, expected)) say(line);
  if (engine.kind === "open") {
    say(`\nOn this machine's engine now (docker ps --filter label=nebula.instance=${instance}):`);
    for (const line of await engine.engine.list(instance)) say(`  ${line}`);
  }
  if (keep && !stop.aborted) {
    say(
      `\nThe server stays up until it is interrupted (Ctrl-C). Its admin:\n  export NEBULA_SERVER=${url} NEBULA_USER=admin NEBULA_PASSWORD=${login.password}`,
    );
    say("  npm run nebulactl -- devices list");
    await new Promise<void>((resolve) => {
      stop.addEventListener("abort", () => resolve());
    });
  } else say("\nNow on your own: npm start, then npm run worker (README.md). All that the demo made is removed.");
  return rollouts.every(({ applied }) => applied.length === expected) ? 0 : 1;
}

/** Waits for the fleet's watches, so that the first change shows how fast a change is, not how fast workers start; it goes on without those that are late. */
async function connected(manager: Pick<RunningManager, "watches">, expected: number, signal: AbortSignal): Promise<void> {
  const until = systemClock.monotonic() + CONNECT_MS;
  while (manager.watches < expected && systemClock.monotonic() < until && !signal.aborted) await systemClock.sleep(25, signal).catch(() => {});
}

function describeEngine(engine: EngineAnswer): string {
  if (engine.kind === "open") return `, and this machine's Docker Engine ${engine.engine.version}`;
  return `; no container is really started, for ${engine.reason}`;
}

function serverSettings(folder: string): Settings {
  const args = ["--data", join(folder, "server"), "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--metrics-listen", "off"];
  return resolveSettings({ command: "server", args, env: {}, readFile: () => "" }).settings;
}
