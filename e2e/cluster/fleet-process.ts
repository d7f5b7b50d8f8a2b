import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assertNever } from "../../common/errors/assert-never.ts";
import { messageOf } from "../../common/errors/nebula-error.ts";
import type { Watch } from "../../worker/connection/watch.ts";
import type { RunningWorker } from "../../worker/main.ts";
import { DeviceRecord, deviceNow } from "./device-record.ts";
import type { FleetAnswer, FleetCommand, FleetDevice } from "./fleet-protocol.ts";

/** One process of a fleet: workers on simulated engines, each watched from within. The process ends with the tests. */

const devices: { worker: RunningWorker; record: DeviceRecord }[] = [];
const servedBy = new Map<string, string>();
let connects = 0;

type WorkerModules = Awaited<ReturnType<typeof ownModules>>;

/** The worker of this tree, and what starting one takes. */
async function ownModules() {
  const { startWorker } = await import("../../worker/main.ts");
  const { openWatch } = await import("../../worker/connection/watch.ts");
  const { resolveSettings } = await import("../../common/settings/resolve-settings.ts");
  const { systemClock } = await import("../../common/clock/system-clock.ts");
  const { silentLog } = await import("../../common/log/log.ts");
  return { startWorker, openWatch, resolveSettings, systemClock, silentLog };
}

/** The same of a tree of the release before shards: its exports were the same, in other files. */
async function earlierModules(tree: string): Promise<WorkerModules> {
  const load = (file: string) => import(pathToFileURL(join(tree, file)).href);
  const { startWorker } = await load("worker/main.ts");
  const { openWatch } = await load("worker/watch.ts");
  const { resolveSettings } = await load("common/settings/resolve-settings.ts");
  const { systemClock } = await load("common/clock/system-clock.ts");
  const { silentLog } = await load("common/log/log.ts");
  return { startWorker, openWatch, resolveSettings, systemClock, silentLog };
}

async function start(modules: WorkerModules, { server, folder, device }: { server: string; folder: string; device: FleetDevice }): Promise<void> {
  const record = new DeviceRecord(device.deviceId);
  const { settings } = modules.resolveSettings({
    command: "worker",
    args: ["--server", server, "--device-id", device.deviceId, "--data", join(folder, device.deviceId), "--runtime", "simulated:?pull_ms=20"],
    env: { NEBULA_ENROLL_TOKEN: device.enrollToken, NEBULA_INSTANCE: device.deviceId, NEBULA_ADOPT: "false", NEBULA_KEEPALIVE: "10s" },
    readFile: () => "",
  });
  const { systemClock: clock, silentLog: log } = modules;
  const worker = await modules.startWorker({ settings, clock, log, connection: (options) => watched(modules.openWatch(options), record) });
  devices.push({ worker, record });
}

/** The worker's own connection, of which the record hears. */
function watched(watch: Watch, record: DeviceRecord): Watch {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const event of watch) {
        if (event.kind === "config") record.configCame(event.config, event.etag);
        if (event.kind === "connected") {
          connects++;
          servedBy.set(record.deviceId, event.address);
        }
        yield event;
      }
    },
    async submit(report, signal) {
      record.reported(report);
      await watch.submit(report, signal);
      record.acknowledged(report);
    },
    loginChanged: () => watch.loginChanged(),
  };
}

async function obey(command: FleetCommand): Promise<FleetAnswer> {
  switch (command.kind) {
    case "start": {
      const modules = await (command.earlier === undefined ? ownModules() : earlierModules(command.earlier));
      for (const device of command.devices) await start(modules, { ...command, device });
      return { kind: "started" };
    }
    case "look": {
      const reports = devices.flatMap(({ worker }) => worker.report() ?? []);
      return {
        kind: "seen",
        devices: reports.map(deviceNow),
        flaws: devices.flatMap(({ record }) => record.flaws),
        digests: new Map(devices.flatMap(({ record }) => [...record.digests])),
        acknowledged: devices.flatMap(({ record }) => record.takeAcknowledged()),
        connects,
        servedBy,
      };
    }
    default:
      return assertNever(command);
  }
}

process.on("message", (command: FleetCommand) => {
  obey(command).then(
    (answer) => process.send?.(answer),
    (error) => process.send?.({ kind: "failed", reason: messageOf(error) } satisfies FleetAnswer),
  );
});
process.on("disconnect", () => process.exit());
