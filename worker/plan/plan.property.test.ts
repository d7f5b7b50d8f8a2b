import { strict as assert } from "node:assert";
import fc from "fast-check";
import type { HostPort } from "../../common/desired/container-spec.ts";
import type { Desired, DesiredApp } from "../../common/desired/desired.ts";
import { portsCollide } from "../../common/desired/host-ports.ts";
import { portClaims } from "../../common/desired/port-claims.ts";
import { configOf, perServer } from "../../common/testing/config-builder.ts";
import type { Config } from "../../gen/nebula/v1/config_pb.ts";
import { LABEL } from "../observed/labels.ts";
import type { ObservedContainer } from "../runtime/container-runtime.ts";
import { HANGS } from "../runtime/simulated/troubles.ts";
import {
  arbitraryConfigs,
  arbitraryLeftovers,
  arbitraryTrouble,
  type Leftover,
  place,
  TROUBLED,
  troubleInOrder,
} from "../testing/arbitrary-world.ts";
import { Killed, World } from "../testing/world.ts";
import type { Plan } from "./plan.ts";

const runs = (few: number) => ({ numRuns: process.env.NEBULA_TEST_LONG === "1" ? few * 25 : few });

/** Checks a world that has come to rest: an app is as wanted, or has a conflict and failed by that. */
async function assertConverged(world: World, planned: Plan): Promise<void> {
  assert.deepEqual((await world.look()).steps, [], "a second plan is empty");
  assert.deepEqual(world.violations, [], "only our own containers were touched");
  const conflicts = conflictsOf(world);
  for (const app of world.desired?.apps ?? []) {
    const state = planned.states.apps.find(({ name }) => name === app.name)?.state;
    const steps = conflicts.get(app.name) ?? new Set();
    if (state?.kind === "failed" && steps.has(state.step)) continue;
    assert.equal(
      state?.kind,
      "applied",
      `${app.name}: ${JSON.stringify(state)} with ${world.shown.join(", ")}; may fail by ${[...steps].join(", ")}`,
    );
    assertAsWanted(world, app);
  }
}

/**
 * By app: the steps by which it may fail. An app has a conflict if it is refused, lost a claim to a host port, or needs a
 * name or a host port that a foreign container has; and then each app that needs a port of one of its containers.
 */
function conflictsOf({ desired, containers }: World): ReadonlyMap<string, ReadonlySet<string>> {
  const conflicts = new Map<string, Set<string>>();
  const add = (app: string, step: string) => conflicts.set(app, new Set([...(conflicts.get(app) ?? []), step]));
  const { lost } = portClaims(desired ?? NOTHING);
  const foreign = containers.filter(({ labels }) => labels[LABEL.orchestrator] === undefined);
  const publishes = ({ phase, hostPorts }: ObservedContainer, port: HostPort) =>
    phase === "running" && hostPorts.some((held) => portsCollide(held, port));
  const running = (desired?.apps ?? []).filter((app) => app.kind === "running");
  for (const app of desired?.apps ?? []) if (app.kind === "refused") add(app.name, "config");
  for (const { name, instances } of running) {
    for (const { index, refusal, spec } of instances) {
      if (refusal !== undefined || lost(name, index) !== undefined) add(name, "claim");
      const names = [`${name}-${index}`, `${name}-${index}.next`, `${name}-${index}.old`];
      if (foreign.some((container) => names.includes(container.name))) add(name, "name");
      if (foreign.some((container) => spec.ports.some((port) => publishes(container, port)))) add(name, "ports");
    }
  }
  for (let before = -1; before !== conflicts.size; ) {
    before = conflicts.size;
    const staying = containers.filter(({ labels }) => conflicts.has(labels[LABEL.appName] ?? ""));
    for (const { name, instances } of running) {
      const needs = instances.flatMap(({ spec }) => spec.ports);
      if (staying.some((container) => needs.some((port) => publishes(container, port)))) add(name, "ports");
    }
  }
  return conflicts;
}

const NOTHING: Desired = { cluster: { id: "", epoch: 0n }, deviceGroup: "", groupRevision: 0n, pruneId: 0n, apps: [], cronJobs: [] };

function assertAsWanted(world: World, app: DesiredApp): void {
  const own = world.containers.filter(({ labels }) => labels[LABEL.appName] === app.name && (labels[LABEL.instance] ?? "main") === "main");
  const wanted = app.kind === "running" ? app.instances : [];
  assert.deepEqual(own.map(({ name, phase }) => `${name} ${phase}`).sort(), wanted.map(({ index }) => `${app.name}-${index} running`).sort());
  for (const { index, hash, spec } of wanted) {
    const container = own.find(({ name }) => name === `${app.name}-${index}`);
    assert.equal(container?.labels[LABEL.spec] ?? hash, hash);
    assert.deepEqual([...(container?.networks ?? [])].sort(), [...spec.networks].sort());
  }
}

async function worldWith(leftovers: readonly Leftover[]): Promise<World> {
  const world = new World();
  await place(world.runtime, leftovers);
  return world;
}

describe("plans, for any desired state and any containers", function () {
  this.timeout(600_000);

  it("plans converge, for any desired state and any containers, and every app without a conflict is as wanted", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: false }), async (configs) => {
        const world = new World();
        for (const config of configs) {
          await world.apply(config);
          await assertConverged(world, await world.converge());
        }
      }),
      runs(150),
    ));

  it("plans converge for any trade of host ports in which no two apps claim one", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: true }), async (configs) => {
        const world = new World();
        for (const config of configs) {
          await world.apply(config);
          await assertConverged(world, await world.converge());
        }
      }),
      runs(300),
    ));

  it("plans converge among leftovers and foreign containers; an impossible app is a failure with its reason", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: true }), arbitraryLeftovers, async (configs, leftovers) => {
        const world = await worldWith(leftovers);
        for (const config of configs) {
          await world.apply(config);
          await assertConverged(world, await world.converge());
        }
      }),
      runs(200),
    ));

  it("plans converge where a roll waits, by way of another app's ports, for a container of its own", async () => {
    const app = (hostPort: number, revision: bigint, rollingRestart: boolean) => ({
      revision,
      rollingRestart,
      dockerImage: "shop:1",
      networks: ["nebula"],
      containersPer: perServer(2),
      startingPorts: [{ hostPort, containerPort: 80 }],
    });
    const world = await worldWith([
      { name: "web-2", owner: "ours", app: "api", index: 1, port: 8002, address: "", isStarted: false },
      { name: "web-1", owner: "foreign", app: "web", index: 1, port: 8001, address: "", isStarted: true },
    ]);
    const traded = [
      { api: app(8001, 1n, false), web: app(8003, 1n, false) },
      { api: app(8003, 2n, true), web: app(8001, 2n, false) }, // api-2 needs a port of web-2's, web-2 one of api-1's, and api-1's turn is after api-2's
    ];
    for (const [step, apps] of traded.entries()) {
      await world.apply(configOf({ groupRevision: BigInt(step + 1), apps }));
      await assertConverged(world, await world.converge());
    }
    assert.ok(world.shown.includes("api-1 running") && world.shown.includes("api-2 running"), world.shown.join(", "));
  });

  it("plans converge after a kill at any call, from labels and states alone", () =>
    fc.assert(
      fc.asyncProperty(
        arbitraryConfigs({ ports: true }),
        arbitraryLeftovers,
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 4 }),
        async (configs, leftovers, kills) => {
          const world = await worldWith(leftovers);
          for (const config of configs) {
            await world.apply(config);
            await throughKills(world, kills);
            await assertConverged(world, await world.converge());
          }
        },
      ),
      runs(150),
    ));

  it("plans end after a kill as without one", () =>
    fc.assert(
      fc.asyncProperty(
        arbitraryConfigs({ ports: false }),
        fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 4 }),
        async (configs, kills) => {
          const world = new World();
          for (const config of configs) {
            await world.apply(config);
            await throughKills(world, kills);
            await assertConverged(world, await world.converge());
          }
        },
      ),
      runs(100),
    ));

  it("plans converge although any call fails now and then", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: false }), fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), async (configs, faults) => {
        const world = new World();
        const left = [...faults];
        world.fault = () => left.shift() ?? false;
        await applyAll(world, configs);
        await assertConverged(world, await world.converge({ horizonMs: 12 * 60 * 60_000 }));
      }),
      runs(100),
    ));
});

describe("plans, though single objects hang or are refused", function () {
  this.timeout(600_000);
  const troubles = fc.array(arbitraryTrouble, { minLength: 1, maxLength: 30 });

  it("plans converge once hung or refused objects have passed, also where a call takes effect after its caller gave up", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: false }), troubles, async (configs, trouble) => {
        const world = new World();
        world.runtime.trouble = troubleInOrder(trouble);
        await applyAll(world, configs);
        await world.converge({ horizonMs: 12 * 60 * 60_000 });
        world.runtime.trouble = undefined;
        await assertConverged(world, await world.converge({ horizonMs: 12 * 60 * 60_000 }));
      }),
      runs(100),
    ));

  it("plans converge after kills among hung or refused objects, with leftovers and traded ports", () =>
    fc.assert(
      fc.asyncProperty(
        arbitraryConfigs({ ports: true }),
        arbitraryLeftovers,
        fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 2 }),
        troubles,
        async (configs, leftovers, kills, trouble) => {
          const world = await worldWith(leftovers);
          world.runtime.trouble = troubleInOrder(trouble);
          for (const config of configs) {
            await world.apply(config);
            await throughKills(world, kills);
          }
          await world.converge({ horizonMs: 12 * 60 * 60_000 });
          world.runtime.trouble = undefined;
          await assertConverged(world, await world.converge({ horizonMs: 12 * 60 * 60_000 }));
        },
      ),
      runs(80),
    ));

  it("plans leave out only the app whose calls never end or never succeed", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfigs({ ports: false }), fc.subarray(TROUBLED, { minLength: 1 }), fc.boolean(), async (configs, methods, hangs) => {
        const world = new World();
        const isBad = (target: string) =>
          target.startsWith("web-") || world.containers.some(({ id, labels }) => id === target && labels[LABEL.appName] === "web");
        world.runtime.trouble = ({ method, target }) =>
          methods.some((troubled) => troubled === method) && isBad(target)
            ? hangs
              ? HANGS
              : { afterMs: 0, refusal: "refused by the engine" }
            : undefined;
        for (const config of configs) {
          await world.apply(config);
          const planned = await world.converge({ horizonMs: 5 * 60_000 });
          assert.deepEqual(world.violations, []);
          for (const app of world.desired?.apps ?? []) {
            const state = planned.states.apps.find(({ name }) => name === app.name)?.state;
            if (app.name === "web") {
              if (state?.kind === "applied") assertAsWanted(world, app);
              continue;
            }
            assert.equal(state?.kind, "applied", `${app.name}: ${JSON.stringify(state)} with ${world.shown.join(", ")}`);
            assertAsWanted(world, app);
          }
        }
      }),
      runs(80),
    ));
});

describe("plans, when all of that comes together", function () {
  this.timeout(600_000);

  it("plans converge with all of that together, or say why not, and never touch foreign containers", () =>
    fc.assert(
      fc.asyncProperty(
        arbitraryConfigs({ ports: true }),
        arbitraryLeftovers,
        fc.array(fc.integer({ min: 0, max: 15 }), { maxLength: 3 }),
        fc.array(fc.boolean(), { maxLength: 40 }),
        async (configs, leftovers, kills, faults) => {
          const world = await worldWith(leftovers);
          const left = [...faults];
          world.fault = () => left.shift() ?? false;
          for (const config of configs) {
            await world.apply(config);
            await throughKills(world, kills);
          }
          left.length = 0;
          await assertConverged(world, await world.converge({ horizonMs: 12 * 60 * 60_000 }));
        },
      ),
      runs(150),
    ));
});

describe("plans, with any jumps of the wall clock", function () {
  this.timeout(600_000);

  it("plans converge under any jumps of the wall clock as if it stood still: waits go by the monotonic clock", () =>
    fc.assert(
      fc.asyncProperty(
        arbitraryConfigs({ ports: false }),
        fc.array(fc.integer({ min: -(10 ** 12), max: 10 ** 12 }), { minLength: 1 }),
        async (configs, jumps) => {
          const world = new World();
          let turn = 0;
          world.watch = () => world.clock.setWall(Math.max(0, world.clock.now() + (jumps[turn++ % jumps.length] ?? 0)));
          for (const config of configs) {
            await world.apply(config);
            const before = world.clock.monotonic();
            await assertConverged(world, await world.converge());
            assert.ok(world.clock.monotonic() - before < 60 * 60_000);
          }
        },
      ),
      runs(60),
    ));
});

async function applyAll(world: World, configs: readonly Config[]): Promise<void> {
  for (const config of configs) {
    await world.apply(config);
    await world.round();
    await world.round();
  }
}

/** Kills the worker after this number of calls to the engine, once for each number, and starts it again. */
async function throughKills(world: World, kills: readonly number[]): Promise<void> {
  for (const callsLeft of kills) {
    world.callsLeft = callsLeft;
    await untilKilled(world);
    await world.restart();
  }
}

async function untilKilled(world: World): Promise<void> {
  try {
    await world.converge();
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
}
