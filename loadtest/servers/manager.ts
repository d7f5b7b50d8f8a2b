import { Registry } from "prom-client";
import { tokenHash } from "../../common/access/tokens.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { TurnTaking } from "../../common/clock/turn-taking.ts";
import { createLog } from "../../common/log/log.ts";
import { MANAGER_DRIVERS, openDrivers } from "../../common/open-drivers.ts";
import { keepGarbageYoung } from "../../common/young-garbage.ts";
import { startManager } from "../../manager/main.ts";
import { startReporter } from "../../reporter/main.ts";
import { deviceId, deviceToken } from "../client/requests.ts";
import { BENCH_ADMIN_PASSWORD, BENCH_CLUSTER_KEY } from "./bench-secrets.ts";
import { countedStore } from "./counted-store.ts";
import { type ObserveCommand, observeProcess } from "./observe-process.ts";

/** The manager under measurement, alone in its process, with a store of its own and authentication on; a reporter beside it takes what devices report. Run by the bench. */

keepGarbageYoung(); // as cli/nebula.ts does
const { NEBULA_BENCH_TOKEN: adminToken, NEBULA_BENCH_DATA: dataDir, NEBULA_BENCH_PRESENCE: presence } = process.env;
if (adminToken === undefined || dataDir === undefined)
  throw new Error("NEBULA_BENCH_TOKEN and NEBULA_BENCH_DATA are what the bench starts this with");

const settings = {
  grpcListen: { host: "127.0.0.1", port: 0 },
  grpcAdvertise: undefined,
  redirect: true,
  dataDir,
  store: "sqlite:",
  reports: "sqlite:",
  redis: "memory:",
  bus: "memory:",
  cacheTimeMs: 10_000,
  auditRetentionMs: 90 * 86_400_000,
  maxDevicesPerGroup: 10_000_000,
  reportTtlMs: 26 * 3_600_000,
  authEnabled: true,
  admin: { user: "admin" },
};

process.on("disconnect", () => process.exit());

const log = createLog({ level: "warn", part: "manager" });
const common = { clock: systemClock, log, registry: new Registry() };
const opened = await openDrivers(MANAGER_DRIVERS, { settings, ...common });
const [configs, access] = [countedStore(opened.configStore), countedStore(opened.accessStore)];
const drivers = { ...opened, configStore: configs.store, accessStore: access.store };
type Command = { kind: "count-store-calls" | "presence-waiting" } | { kind: "enrol"; deviceGroup: string; devices: number } | ObserveCommand;

/** Enrols devices with the tokens that the fleet knows, past the API: what is measured begins when they connect. */
async function enrol(deviceGroup: string, devices: number): Promise<void> {
  const createdAt = systemClock.now();
  const enrolment = { id: "0123456789abcdef", tokenHash: tokenHash("enrolment token of the bench"), deviceGroup, createdBy: "admin" };
  await opened.accessStore.createEnrolment({ ...enrolment, usesLeft: devices, createdAt, expiresAt: createdAt + 3_600_000 });
  for (let device = 0; device < devices; device++) {
    const token = { deviceId: deviceId(device), tokenHash: tokenHash(deviceToken(device)) };
    const { kind } = await opened.accessStore.enrol({ ...token, enrolmentHash: enrolment.tokenHash, nowMs: createdAt });
    if (kind !== "enrolled") throw new Error(`device ${device} was not enrolled: ${kind}`);
  }
}

const observe = observeProcess();
async function obey(command: Command): Promise<object | undefined> {
  switch (command.kind) {
    case "count-store-calls":
      return { kind: "store-calls", count: configs.calls() + access.calls() };
    case "presence-waiting":
      return { kind: "presence-waiting", count: (await common.registry.getSingleMetric("nebula_presence_waiting")?.get())?.values[0]?.value ?? 0 };
    case "enrol":
      await enrol(command.deviceGroup, command.devices);
      return { kind: "enrolled" };
    default:
      return observe(command);
  }
}
process.on("message", (command: Command) => {
  void obey(command).then((answer) => answer !== undefined && process.send?.(answer));
});
const turns = new TurnTaking(common);
await startReporter({ settings, drivers, turns, ...common });
const { address } = await startManager({
  settings,
  secrets: { clusterKey: BENCH_CLUSTER_KEY, adminPassword: BENCH_ADMIN_PASSWORD, adminToken },
  drivers,
  turns,
  ...common,
  tuning: { presence: presence !== "off", mirrorKeptMs: 0 }, // a change without a stream after one with a stream pays for no mirror
});
process.send?.({ kind: "ready", port: Number(address.slice(address.lastIndexOf(":") + 1)) });
