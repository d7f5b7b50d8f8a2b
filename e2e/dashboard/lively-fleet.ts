import { randomBytes } from "node:crypto";
import { systemClock } from "../../common/clock/system-clock.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { normaliseImageReference } from "../../common/validation/container/image-reference.ts";
import { AccessService } from "../../gen/nebula/v1/access_pb.ts";
import { AppService } from "../../gen/nebula/v1/app_pb.ts";
import { PullPolicy } from "../../gen/nebula/v1/container_pb.ts";
import { FleetService } from "../../gen/nebula/v1/fleet_pb.ts";
import type { RunningWorker } from "../../worker/main.ts";
import type { ImageBehaviour } from "../../worker/runtime/simulated/behaviour.ts";
import { SimulatedRuntime } from "../../worker/runtime/simulated/simulated.ts";
import type { Api } from "../harness/api.ts";
import { startSimulated } from "../harness/in-process-worker.ts";
import type { Server } from "../harness/server.ts";

/** Device_groups, with the share of the devices that each has, in percent, and its apps in their order. */
const GROUPS = [
  { name: "stores-berlin", site: "berlin", percent: 30, apps: ["checkout", "price-tags", "log-shipper"] },
  { name: "stores-paris", site: "paris", percent: 24, apps: ["checkout", "price-tags", "log-shipper"] },
  { name: "kiosks", site: "kiosk", percent: 18, apps: ["kiosk-ui", "log-shipper"] },
  { name: "edge-cdn", site: "edge", percent: 16, apps: ["cache", "log-shipper"] },
  { name: "warehouse", site: "dock", percent: 12, apps: ["scanner", "log-shipper"] },
] as const;

const APPS: readonly Readonly<{ name: string; dockerImage: string; env?: Readonly<Record<string, string>>; port?: number }>[] = [
  { name: "checkout", dockerImage: "shop/checkout:4.2.1", env: { CURRENCY: "EUR", REGION: "eu-central", RECEIPTS: "paper" }, port: 8443 },
  { name: "price-tags", dockerImage: "shop/price-tags:2.8.0", env: { REFRESH: "30s" } },
  { name: "kiosk-ui", dockerImage: "shop/kiosk-ui:1.14.3", port: 8080 },
  { name: "cache", dockerImage: "cdn/cache:7.0.9", env: { SIZE: "20g" }, port: 80 },
  { name: "scanner", dockerImage: "docks/scanner:0.9.4" },
  { name: "log-shipper", dockerImage: "ops/log-shipper:3.1.0", env: { LEVEL: "info" } },
];

/** Images that changes bring, each with the devices on which it does not come to run: every one of that many, by number, and how the image behaves there. */
const TROUBLES: Readonly<Record<string, readonly Readonly<{ every: number; behaviour: Partial<ImageBehaviour> }>[]>> = {
  "shop/checkout:4.3.0": [
    { every: 16, behaviour: { pull: { kind: "fails", message: "failed to register layer: write /opt/checkout/app.jar: no space left on device" } } },
    { every: 5, behaviour: { pull: { kind: "unpacks", afterMs: 3_600_000 } } },
  ],
  "shop/kiosk-ui:1.15.0": [{ every: 11, behaviour: { exit: { code: 1, afterMs: 200 } } }],
  "cdn/cache:7.1.0": [{ every: 13, behaviour: { pull: { kind: "fails", message: "manifest for cdn/cache:7.1.0 not found: manifest unknown" } } }],
};

/** Every device of this number is disconnected, in the end. */
const OFFLINE_EVERY = 19;

const PASSWORD = "correct horse battery staple";

/**
 * A fleet in which everything happens that the dashboard shows: devices that applied, that are at work, that failed in several ways, that are offline and that never
 * came; changes of several users, one of them superseded.
 * @param devices how many connect, at least 100
 */
export async function startLivelyFleet(server: Server, devices: number): Promise<AsyncDisposable> {
  await using starting = new AsyncDisposableStack();
  const { api } = server;
  for (const { name, dockerImage, env = {}, port } of APPS) {
    const startingPorts = port === undefined ? [] : [{ hostPort: port, containerPort: port }];
    await api.createApp({ name, dockerImage, envVars: env, startingPorts, pullPolicy: PullPolicy.MISSING });
  }
  await api.createCronJob({ name: "nightly-cleanup", schedule: "0 3 * * *", dockerImage: "ops/cleanup:1.2.0" });
  for (const { name, apps } of GROUPS) await api.createGroup(name, [...apps], name === "warehouse" ? ["nightly-cleanup"] : []);
  const all = { apps: { "*": "rw" }, deviceGroups: { "*": "rw" }, cronJobs: { "*": "ro" } };
  const ann = await api.createUser("ann", PASSWORD, all);
  const ben = await api.createUser("ben", PASSWORD, all);

  const starts = GROUPS.flatMap(({ name, site, percent }) =>
    Array.from({ length: Math.round((devices * percent) / 100) }, async (_, index) => {
      const number = index + 1;
      const worker = await startSimulated(
        { server, deviceGroup: name, deviceId: `${site}-${String(number).padStart(3, "0")}` },
        new SimulatedRuntime({ clock: systemClock, info: { hostname: `${site}-${number}` }, behaviour: behaviourOn(number) }),
      );
      return { worker, number };
    }),
  );
  const workers: Readonly<{ worker: RunningWorker; number: number }>[] = [];
  for (const start of await Promise.allSettled(starts)) {
    if (start.status === "rejected") throw start.reason;
    starting.use(start.value.worker);
    workers.push(start.value);
  }
  await counted(api, ({ applied }) => applied >= BigInt(workers.length));

  const update = (headers: Readonly<Record<string, string>>, name: string, dockerImage: string) =>
    api.channel.unary(AppService.method.updateApp, { app: { name, dockerImage }, updateFields: ["docker_image"] }, { headers, timeoutMs: 10_000 });
  await update(ann, "log-shipper", "ops/log-shipper:3.1.1");
  await update(ann, "log-shipper", "ops/log-shipper:3.1.2");
  await update(ben, "cache", "cdn/cache:7.1.0");
  await update(ann, "kiosk-ui", "shop/kiosk-ui:1.15.0");
  await update(ben, "checkout", "shop/checkout:4.3.0");
  for (const { worker, number } of workers) if (number % OFFLINE_EVERY === 0) await worker.stop();
  await enrolWithoutComing(api, Math.round(devices / 50));
  await counted(api, ({ failed, working, offline }) => failed > 0n && working > 0n && offline > 0n);
  const started = starting.move();
  return { [Symbol.asyncDispose]: () => started.disposeAsync() };
}

function behaviourOn(number: number): (reference: string) => Partial<ImageBehaviour> {
  return (reference) => {
    const [, troubles = []] = Object.entries(TROUBLES).find(([image]) => normaliseImageReference(image) === reference) ?? [];
    return troubles.find(({ every }) => number % every === 0)?.behaviour ?? {};
  };
}

async function enrolWithoutComing(api: Api, count: number): Promise<void> {
  const call = { headers: api.headers, timeoutMs: 10_000 };
  const { token } = await api.channel.unary(AccessService.method.createEnrolmentToken, { deviceGroup: "warehouse", uses: count }, call);
  const enrol = { headers: { authorization: `Bearer ${token}` }, timeoutMs: 10_000 };
  for (let number = 1; number <= count; number++) {
    await api.channel.unary(AccessService.method.enrollDevice, { deviceId: `dock-spare-${number}`, tokenHash: randomBytes(32) }, enrol);
  }
}

type States = Readonly<{ applied: bigint; working: bigint; failed: bigint; offline: bigint }>;

/** Waits until the numbers of the whole fleet are so. */
async function counted(api: Api, holds: (states: States) => boolean): Promise<void> {
  const read = async () => {
    const { fleet } = await api.channel.unary(FleetService.method.getOverview, {}, { headers: api.headers, timeoutMs: 10_000 });
    return fleet?.states !== undefined && holds(fleet.states);
  };
  await eventually(read, { timeoutMs: 60_000, everyMs: 250 });
}
