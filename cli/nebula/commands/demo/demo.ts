import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { systemClock } from "../../../../common/clock/system-clock.ts";
import { invalidArgument, messageOf, NebulaError } from "../../../../common/errors/nebula-error.ts";
import { createLog, silentLog } from "../../../../common/log/log.ts";
import { createRegistry } from "../../../../common/metrics/registry.ts";
import { formatAddress } from "../../../../common/net/address.ts";
import { printable } from "../../../../common/printable.ts";
import { parseBool, wholeNumber } from "../../../../common/settings/parsers.ts";
import type { Environment } from "../../../../common/settings/setting.ts";
import { normaliseImageReference } from "../../../../common/validation/container/image-reference.ts";
import type { ContainerRuntime } from "../../../../worker/runtime/container-runtime.ts";
import { SimulatedRuntime } from "../../../../worker/runtime/simulated/simulated.ts";
import { commands } from "../../../nebulactl/commands.ts";
import { processIo } from "../../../nebulactl/io/process-io.ts";
import { runNebulactl } from "../../../nebulactl/run.ts";
import type { PlainCommand } from "../../command/command.ts";
import { onStopSignal } from "../../command/stop-signals.ts";
import { startServer } from "../server/start-server.ts";
import { assertFree, describeBackends, isEmbedded, removeMade, serverSettings } from "./demo-backends.ts";
import { DemoEngine, type EngineAnswer } from "./demo-engine.ts";
import type { DemoLogin } from "./fleet.ts";
import { simulatedId, startFleet } from "./fleet.ts";
import { countOnline, type Rollout, readRollout, summary } from "./rollout.ts";

/** Names in the example file. */
const APP = "hello";
const GROUP = "demo";
const NAMES = { app: APP, group: GROUP };
/** The image that the example starts with, and the one that the demo changes it to. */
const IMAGES = ["busybox:1", "busybox:latest"] as const;
/** The simulated device whose disk has no room for the second image. */
const FULL = 1;
/** The exit code of nebulactl where a change failed on some devices. */
const FAILED_ON_SOME = 2;
/** The longest wait for the workers to connect, milliseconds. */
const CONNECT_MS = 30_000;
/** How long the end may take that an interrupt asks for, milliseconds. */
const CLEAN_UP_MS = 20_000;

/** Runs the tour of `nebula demo`. Returns the exit code. */
export async function demo({ own, io }: Parameters<PlainCommand["run"]>[0]): Promise<number> {
  const given = own.get("devices") ?? "100";
  const devices = wholeNumber(1, 2000)(given);
  if (devices.kind === "wrong") throw invalidArgument([{ field: "--devices", description: `"${given}" ${devices.problem}` }]);
  const keep = parseBool(own.get("keep") ?? "false");
  return await runDemo({
    devices: devices.value,
    keep: keep.kind === "value" && keep.value,
    print: io.write,
    terminal: io.terminal,
    env: io.env,
    readFile: io.readFile,
  });
}

type DemoOptions = Readonly<{
  /** Simulated devices. */
  devices: number;
  /** Stay up after the summary, until interrupted. */
  keep: boolean;
  print: (text: string) => void;
  /** Whether standard output is a terminal: then the progress line is redrawn in place. */
  terminal: boolean;
  /** Where the variables of the backends are looked for; without them all is embedded. */
  env: Environment;
  readFile: (path: string) => string;
}>;

/**
 * The tour: a server, a worker on the local Docker Engine where there is one, and a simulated fleet. An app is planned, applied and changed, while the devices
 * are followed; the change fails on one device, which explains why; the change is rolled back. Removes everything that it created. Returns the exit code: 0 if
 * every device did as was expected of it.
 */
async function runDemo({ devices, keep, print, terminal, env, readFile }: DemoOptions): Promise<number> {
  const example = exampleFile("demo.yaml");
  const stop = onStopSignal(print, CLEAN_UP_MS);
  const say = (line: string) => print(`${printable(line)}\n`);
  const log = silentLog;
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "nebula-demo-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));

  const settings = serverSettings(folder, env, readFile);
  // A backend that is absent is waited for: only its log says so.
  const logOf = (part: string) => (isEmbedded(settings) ? log : createLog({ level: "warn", part }));
  const server = stack.use(await startServer({ settings, clock: systemClock, logOf, registry: createRegistry(), signal: stop }));
  const { gateway, manager, secrets } = server;
  if (gateway === undefined || manager === undefined || secrets === undefined) throw new Error("a server without its parts");
  const url = `http://${formatAddress(gateway.address)}`;
  const login = { url, grpcAddress: manager.address, password: secrets.adminPassword };
  if (!isEmbedded(settings)) {
    await assertFree(login, NAMES);
    stack.defer(() => removeMade(login, NAMES).catch((error) => say(`what the demo made could not be removed: ${messageOf(error)}`)));
  }
  say(describeBackends(settings));
  say(`  API     ${url}  (and gRPC on ${manager.address})`);

  const engine = await DemoEngine.open({ images: IMAGES, log, signal: stop });
  if (engine.kind === "open") stack.use(engine.engine);
  say(`  devices ${devices} simulated ones${describeEngine(engine)}`);
  const instance = `demo-${randomBytes(3).toString("hex")}`;
  // removed after the worker has stopped, since a running worker re-creates its containers
  if (engine.kind === "open") stack.defer(() => engine.engine.clean(instance));
  stack.use(
    await startFleet({
      login,
      deviceGroup: GROUP,
      simulated: devices,
      engineOf: (number) => (number === FULL ? fullEngine() : undefined),
      real: engine.kind === "open" ? { instance, runtime: engine.engine.runtime } : undefined,
      folder,
      log,
    }),
  );
  const expected = devices + (engine.kind === "open" ? 1 : 0);

  await connected(login, expected, stop);

  const nebulactl = createNebulactl({ login, print: (text) => print(text.replaceAll(example, "examples/demo.yaml")), terminal });
  const rollouts: Rollout[] = [];
  const run = async (args: readonly string[], expectedCode = 0) => {
    if (stop.aborted) return;
    say(`\n$ nebulactl ${args.join(" ").replace(example, "examples/demo.yaml")}`);
    const code = await nebulactl(args, stop);
    if (code !== expectedCode && !stop.aborted) throw new Error(`nebulactl ${args[0]} ended with ${code}, not with ${expectedCode}`);
  };
  const change = async (title: string, args: readonly string[], expectedCode = 0) => {
    await run([...args, "--wait", "--settle", "1s"], expectedCode);
    if (!stop.aborted) rollouts.push(await readRollout({ login, app: APP, group: GROUP, title }));
  };
  await run(["plan", "-f", example]);
  await change("an app and a device_group are applied", ["apply", "-f", example]);
  await change(`its image is changed to ${IMAGES[1]}`, ["apps", "update", APP, "--image", IMAGES[1]], FAILED_ON_SOME);
  await run(["why", simulatedId(FULL), APP]);
  await change("the change is rolled back", ["rollback", APP, "--yes"]);

  for (const line of summary(rollouts, expected)) say(line);
  if (engine.kind === "open") {
    say(`\nOn this machine's engine now (docker ps --filter label=nebula.instance=${instance}):`);
    for (const line of await engine.engine.list(instance)) say(`  ${line}`);
  }
  if (keep && !stop.aborted) {
    for (const line of keptLines(login)) say(line);
    await new Promise<void>((resolve) => {
      stop.addEventListener("abort", () => resolve());
    });
  } else {
    say("\nAll that the demo made is removed. To look at it in the dashboard: npm run demo -- --keep");
    say("Now on your own: npm start, then npm run worker (README.md).");
  }
  const reached = rollouts.map(({ applied }) => applied.length);
  return stop.aborted || reached.join() === [expected, expected - 1, expected].join() ? 0 : 1;
}

/** How to look at the demo that stays up: by browser and by nebulactl. */
function keptLines({ url, password }: DemoLogin): readonly string[] {
  return [
    "\nThe demo stays up until it is interrupted (Ctrl-C):",
    `  dashboard  ${url}/ui/`,
    `  login      user admin, password ${password}`,
    `  nebulactl  export NEBULA_SERVER=${url} NEBULA_USER=admin NEBULA_PASSWORD=${password}`,
    "             npm run nebulactl -- devices list",
  ];
}

/** A simulated engine on a disk that has no room for the image that the demo changes to. */
function fullEngine(): ContainerRuntime {
  const refused = normaliseImageReference(IMAGES[1]);
  const message = "failed to register layer: write /bin/busybox: no space left on device";
  return new SimulatedRuntime({ clock: systemClock, behaviour: (image) => (image === refused ? { pull: { kind: "fails", message } } : {}) });
}

/** Runs nebulactl in this process against the server of the demo and indents its output. Returns its exit code. */
function createNebulactl({
  login: { url, password },
  print,
  terminal,
}: Readonly<{ login: DemoLogin; print: (text: string) => void; terminal: boolean }>) {
  const env = { NEBULA_SERVER: url, NEBULA_USER: "admin", NEBULA_PASSWORD: password };
  const indent = (text: string) => print(text.replace(/^(?=.)/gm, "  "));
  // a home folder without profiles: those of the user must not take part
  const io = { ...processIo(), env, home: tmpdir(), out: indent, err: indent, outIsTerminal: terminal, errIsTerminal: terminal, terminal: undefined };
  return (args: readonly string[], signal: AbortSignal): Promise<number> => runNebulactl(commands, args, io, signal);
}

/** Waits until the server counts the workers as online, so that the first change does not include their start; continues without those that are late. */
async function connected(login: DemoLogin, expected: number, signal: AbortSignal): Promise<void> {
  const until = systemClock.monotonic() + CONNECT_MS;
  while (systemClock.monotonic() < until && !signal.aborted && (await countOnline(login, GROUP)) < expected)
    await systemClock.sleep(100, signal).catch(() => {});
}

function describeEngine(engine: EngineAnswer): string {
  if (engine.kind === "open") return `, and this machine's Docker Engine ${engine.engine.version}`;
  return `; no container is really started, for ${engine.reason}`;
}

/**
 * Path of a file in `examples/`: in the nearest folder above this program that has it. Works from source and from a
 * bundle.
 */
export function exampleFile(name: string, from = import.meta.dirname): string {
  const file = join(from, "examples", name);
  if (existsSync(file)) return file;
  const parent = dirname(from);
  if (parent === from) throw new NebulaError("not_found", `examples/${name} not found in any folder above this program`);
  return exampleFile(name, parent);
}
