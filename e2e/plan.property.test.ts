import { strict as assert } from "node:assert";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import type { TargetStep } from "../common/desired/device-steps.ts";
import { type AppInit, configOf, perServer } from "../common/testing/config-builder.ts";
import { normaliseImageReference } from "../common/validation/container/image-reference.ts";
import type { App } from "../gen/nebula/v1/app_pb.ts";
import type { Config } from "../gen/nebula/v1/config_pb.ts";
import { PullPolicy } from "../gen/nebula/v1/container_pb.ts";
import { type Device, DeviceSchema } from "../gen/nebula/v1/device_pb.ts";
import { HostStatusSchema } from "../gen/nebula/v1/report_pb.ts";
import { FleetTally, GroupTally } from "../manager/insight/plan/group-tally.ts";
import { composeReport } from "../worker/report/compose.ts";
import type { RuntimeCall } from "../worker/runtime/simulated/simulated.ts";
import { World } from "../worker/testing/world.ts";

const runs = (few: number) => ({ numRuns: process.env.NEBULA_TEST_LONG === "1" ? few * 25 : few });
const signal = new AbortController().signal;
const CLUSTER = { id: "c1", epoch: 1n };
const GROUP = "shop";
const APPS = ["web", "db", "api"];
const MB = 1024 ** 2;

type Body = Omit<AppInit, "revision" | "restartCount"> & Readonly<{ restarts: number }>;
/** One state of the group: its apps, in order; null: the group names an app that is deleted. */
type GroupState = readonly (readonly [name: string, body: Body | null])[];

const arbitraryCount = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map((count): AppInit["containersPer"] => perServer(count)),
  fc.constantFrom(0.5, 1).map((value): AppInit["containersPer"] => ({ per: { case: "cpu", value } })),
  fc.constantFrom(512, 1024, 3000).map((value): AppInit["containersPer"] => ({ per: { case: "memoryMb", value } })),
);

function arbitraryBody(ports: boolean): fc.Arbitrary<Body> {
  return fc.record({
    dockerImage: fc.constantFrom("shop:1", "shop:2", "shop:3"),
    containersPer: arbitraryCount,
    running: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
    // two apps that claim one port hold a roll up; how far it comes by then is not foreseen
    rollingRestart: ports ? fc.constant(false) : fc.boolean(),
    // of one app no two ports come to overlap: its server refuses that
    startingPorts: ports
      ? fc
          .tuple(fc.option(fc.integer({ min: 8000, max: 8003 })), fc.option(fc.integer({ min: 8100, max: 8101 })))
          .map((hostPorts) => hostPorts.flatMap((hostPort) => (hostPort === null ? [] : [{ hostPort, containerPort: 80 }])))
      : fc.constant([]),
    networks: fc.constantFrom(["nebula"], [], ["none"]).map((networks) => [...networks]),
    envVars: fc.constantFrom("a", "b", "${NEBULA_DEVICE_ID}").map((VALUE) => ({ VALUE })),
    minHealthyMs: fc.constantFrom(5000, 10_000),
    pullPolicy: fc.constantFrom(PullPolicy.UNSPECIFIED, PullPolicy.UNSPECIFIED, PullPolicy.ALWAYS, PullPolicy.MISSING),
    restarts: fc.constantFrom(0, 0, 1),
  });
}

function arbitraryStates(ports: boolean): fc.Arbitrary<GroupState[]> {
  const body = fc.option(arbitraryBody(ports), { freq: 8 });
  const state = fc.uniqueArray(fc.tuple(fc.constantFrom(...APPS), body), { minLength: 1, maxLength: 3, selector: ([name]) => name });
  return fc.array(fc.tuple(state, fc.boolean()), { minLength: 1, maxLength: 4 }).map((states) => {
    const list: GroupState[] = [];
    // half of the states keep what is in the one before, and change one app of it
    for (const [next, isSmall] of states) {
      const before = list.at(-1);
      const [first] = next;
      list.push(!isSmall || before === undefined || first === undefined ? next : [...before.filter(([name]) => name !== first[0]), first]);
    }
    return list;
  });
}

type Hand = Readonly<{ what: "stop" | "remove"; container: number }>;

const arbitraryDevice = fc.record({
  cores: fc.integer({ min: 1, max: 8 }),
  memoryMb: fc.constantFrom(900, 1024, 4096, 8000),
  /** By state: whether the device was online then, and ran it. */
  followed: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
  images: fc.constantFrom([], ["shop:1"], ["shop:1", "shop:2"]).map((images) => [...images]),
  restarts: fc.boolean(),
  /** Somebody's hand on the device before its newest report. */
  hand: fc.option(fc.record({ what: fc.constantFrom("stop" as const, "remove" as const), container: fc.nat({ max: 2 }) }), { freq: 4 }),
});
type DeviceInit = typeof arbitraryDevice extends fc.Arbitrary<infer T> ? T : never;

/** The configs of the group, and every revision that an app ever had. An app gets a revision when its body changes. */
function revisionsOf(states: readonly GroupState[]): { configs: Config[]; bodies: Map<string, App | undefined> } {
  const newest = new Map<string, { revision: bigint; text: string; restartCount: bigint }>();
  const bodies = new Map<string, App | undefined>();
  const configs = states.map((state, index) => {
    const entries = state.map(([name, body]): [string, AppInit | undefined] => {
      const known = newest.get(name);
      const { restarts = 0, ...fields } = body ?? {};
      const text = JSON.stringify(fields);
      const isSame = known?.text === text && restarts === 0;
      const revision = isSame ? known.revision : (known?.revision ?? 0n) + 1n;
      const restartCount = isSame ? known.restartCount : (known?.restartCount ?? 0n) + BigInt(restarts);
      newest.set(name, { revision, text, restartCount });
      return [name, body === null ? undefined : { ...fields, revision, restartCount }];
    });
    const config = configOf({ cluster: CLUSTER, deviceGroup: GROUP, groupRevision: BigInt(index + 1), apps: Object.fromEntries(entries) });
    for (const entry of config.apps) {
      entry.revision = newest.get(entry.name)?.revision ?? 0n;
      bodies.set(`${entry.name} ${entry.revision}`, entry.app);
    }
    return config;
  });
  return { configs, bodies };
}

/** A device at rest that followed some of the configs. */
async function deviceAt(init: DeviceInit, configs: readonly Config[]): Promise<World> {
  const info = { cores: init.cores, memoryBytes: init.memoryMb * MB };
  const world = new World({ images: init.images, info });
  const nothing = configOf({ cluster: CLUSTER, deviceGroup: GROUP, groupRevision: 0n });
  await world.apply(nothing);
  await world.converge();
  for (const [index, config] of configs.slice(0, -1).entries()) {
    if (init.followed[index] !== true) continue;
    await world.apply(config);
    await world.converge();
    if (init.restarts) await world.restart({ keepsMemory: true });
  }
  if (init.restarts) await world.converge();
  await byHand(world, init.hand);
  return world;
}

async function byHand(world: World, hand: Hand | null): Promise<void> {
  const container = world.containers[hand === null ? -1 : hand.container];
  if (hand === null || container === undefined) return;
  await world.runtime.stop(container.id, 0, signal);
  if (hand.what === "remove") await world.runtime.remove(container.id, { force: true }, signal);
}

async function statusOf(world: World, { cores, memoryMb }: DeviceInit): Promise<Device> {
  const { states } = await world.look();
  const report = composeReport({
    deviceId: "device-1",
    deviceGroup: GROUP,
    boot: "boot-1",
    instance: "main",
    startedAt: 0,
    etag: "",
    isPlanned: true,
    desired: world.desired,
    states,
    applied: world.memory.applied?.revisions ?? new Map(),
    since: new Map(),
    pruned: undefined,
    problems: [],
    stats: new Map(),
    imageBytes: new Map(),
    repairs: 0,
    now: { wall: world.clock.now(), monotonic: world.clock.monotonic() },
  });
  report.host = create(HostStatusSchema, { cpuCores: cores, memoryTotalBytes: BigInt(memoryMb * MB) });
  return create(DeviceSchema, { deviceId: "device-1", deviceGroup: GROUP, report });
}

type Asked = { made: number; started: number; removed: number; stopped: number; pulled: Set<string> };

/** Has the device follow the config, and counts what its engine was asked for. */
async function follow(world: World, config: Config): Promise<Asked> {
  const asked: Asked = { made: 0, started: 0, removed: 0, stopped: 0, pulled: new Set() };
  const count = ({ method, target }: RuntimeCall) => {
    if (method === "create") asked.made++;
    if (method === "start") asked.started++;
    if (method === "remove") asked.removed++;
    if (method === "stop") asked.stopped++;
    if (method === "pull") asked.pulled.add(normaliseImageReference(target));
    return false;
  };
  world.fault = count;
  await world.apply(config);
  await world.converge();
  world.fault = undefined;
  return asked;
}

/** @param earlier what was stored before the change */
function planOf(device: Device, config: Config, earlier: readonly Config[], bodies: ReadonlyMap<string, App | undefined>): readonly TargetStep[] {
  const fleet = new FleetTally();
  const tally = new GroupTally(fleet, {
    config,
    cluster: CLUSTER,
    targets: [],
    bodies: {
      app: (name, revision) => bodies.get(`${name} ${revision}`),
      isNew: (name) => !earlier.some(({ apps }) => apps.some((app) => app.name === name)),
      usesDeviceId: true,
    },
  });
  tally.add(device);
  assert.equal(fleet.reach.unforeseen, 0);
  return fleet.named[0]?.steps ?? [];
}

/** Checks that the engine was asked for what the plan says. */
function assertPlanned(steps: readonly TargetStep[], asked: Asked, downBefore: readonly string[]): void {
  const sum = (...kinds: readonly TargetStep["step"][]) =>
    steps.filter(({ step }) => kinds.includes(step)).reduce((total, { containers }) => total + containers, 0);
  const images = (kind: "pull" | "pull_if_missing") => steps.filter(({ step }) => step === kind).map(({ image }) => image);
  const removed = sum("recreate", "stop", "remove", "scale_down");
  const started = sum("recreate", "start", "scale_up", "start_again");
  // whether an old container that is down is started again for the time of a pull depends on whether there is one
  const isSure = downBefore.length === 0;
  assert.ok(asked.started >= started && asked.started <= started + downBefore.length, `${asked.started} started, in place of ${started}`);
  const expected = {
    made: sum("recreate", "start", "scale_up", "wait_for_port"),
    started: isSure ? started : asked.started,
    removed,
    stopped: isSure ? removed : asked.stopped,
  };
  const { pulled, ...numbers } = asked;
  assert.deepEqual(numbers, expected);
  for (const image of images("pull")) assert.ok(pulled.has(image), `${image} was not pulled`);
  for (const image of pulled) assert.ok([...images("pull"), ...images("pull_if_missing")].includes(image), `${image} was pulled`);
}

function check(ports: boolean, counts: Map<string, number>) {
  return fc.asyncProperty(arbitraryStates(ports), arbitraryDevice, async (states, init) => {
    const { configs, bodies } = revisionsOf(states);
    const last = configs.at(-1) ?? assert.fail();
    const world = await deviceAt(init, configs);
    const device = await statusOf(world, init);
    const steps = planOf(device, last, configs.slice(0, -1), bodies);
    for (const { step } of steps) counts.set(step, (counts.get(step) ?? 0) + 1);
    const down = world.containers.filter(({ phase }) => phase !== "running").map(({ id }) => id);
    const asked = await follow(world, last);
    assert.deepEqual(world.violations, []);
    try {
      assertPlanned(steps, asked, down);
    } catch (error) {
      const shown = [JSON.stringify(steps), JSON.stringify({ ...asked, pulled: [...asked.pulled] }), world.shown.join(", ")];
      throw new Error(`${String(error)}\n${shown.join("\n")}`, { cause: error });
    }
  });
}

describe("plans of the manager, beside what workers do", function () {
  this.timeout(600_000);

  it("plans say of each device which containers its engine is then asked to make, start, stop and remove, and which images to pull", async () => {
    const counts = new Map<string, number>();
    await fc.assert(check(false, counts), runs(300));
    for (const step of ["recreate", "start", "stop", "remove", "scale_up", "scale_down", "start_again", "pull", "pull_if_missing"])
      assert.ok((counts.get(step) ?? 0) >= 1, `${step} was planned ${counts.get(step) ?? 0} times`);
  });

  it("plans say the same where apps trade host ports, or claim the same ones", async () => {
    const counts = new Map<string, number>();
    await fc.assert(check(true, counts), runs(300));
    assert.ok((counts.get("wait_for_port") ?? 0) >= 1, "no container waited for a port");
  });

  it("plans say of refused apps that only those containers are started again whose ports are due to no other app", async () => {
    const startingPorts = [{ hostPort: 8000, containerPort: 80 }];
    const before = { web: { dockerImage: "shop:1", startingPorts }, api: { dockerImage: "shop:2" } };
    const refused = { dockerImage: "", revision: 2n };
    const after = { web: { ...refused, startingPorts }, api: refused, db: { dockerImage: "shop:3", startingPorts } };
    const about = { cluster: CLUSTER, deviceGroup: GROUP };
    const configs = [configOf({ ...about, groupRevision: 1n, apps: before }), configOf({ ...about, groupRevision: 2n, apps: after })] as const;
    const bodies = new Map(configs.flatMap(({ apps }) => apps.map(({ name, revision, app }) => [`${name} ${revision}`, app] as const)));
    const init: DeviceInit = { cores: 1, memoryMb: 1024, followed: [true], images: ["shop:1", "shop:2"], restarts: false, hand: null };
    const world = await deviceAt(init, configs);
    for (const { id } of world.containers) await world.runtime.stop(id, 0, signal);
    const steps = planOf(await statusOf(world, init), configs[1], [configs[0]], bodies);
    const started = steps.filter(({ step }) => step === "start_again").map(({ name, containers }) => [name, containers]);
    assert.deepEqual(started, [["api", 1]]);
    const down = world.containers.map(({ id }) => id);
    assert.equal(down.length, 2);
    assertPlanned(steps, await follow(world, configs[1]), down);
    assert.deepEqual(world.containers.map(({ name, phase }) => `${name} ${phase}`).sort(), ["api-1 running", "db-1 running", "web-1 exited"]);
  });
});
