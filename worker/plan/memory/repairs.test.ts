import { strict as assert } from "node:assert";
import fc from "fast-check";
import { perServer } from "../../../common/testing/config-builder.ts";
import { Rig } from "../../testing/rig.ts";

const signal = new AbortController().signal;
const repairsOf = ({ look }: Rig) => (look?.kind === "seen" ? look.repairs : assert.fail("the engine was not seen"));

/** A change of the config, or an accident of one of the containers. */
type Event = Readonly<
  { kind: "update" | "restart_app"; app: 0 | 1 } | { kind: "removed" | "stopped"; app: 0 | 1; index: 1 | 2 } | { kind: "nothing" }
>;

const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom<("update" | "restart_app")[]>("update", "restart_app"), app: fc.constantFrom<(0 | 1)[]>(0, 1) }),
    fc.record({
      kind: fc.constantFrom<("removed" | "stopped")[]>("removed", "stopped"),
      app: fc.constantFrom<(0 | 1)[]>(0, 1),
      index: fc.constantFrom<(1 | 2)[]>(1, 2),
    }),
    fc.record({ kind: fc.constant("nothing" as const) }),
  ),
  { minLength: 1, maxLength: 8 },
);

describe("the repairs of a worker", () => {
  it("repairs are the accidents that were put right, each once, and no change of the config", async () => {
    await fc.assert(
      fc.asyncProperty(events, async (given) => {
        await using rig = new Rig();
        const apps = [
          { revision: 1n, restartCount: 0n, dockerImage: "shop:1" },
          { revision: 1n, restartCount: 0n, dockerImage: "shop:2" },
        ];
        const config = () => ({
          apps: Object.fromEntries(apps.map((app, at) => [`app${at}`, { ...app, containersPer: perServer(2) }])),
        });
        await rig.start(config());
        let accidents = 0;
        for (const event of given) {
          const app = "app" in event ? apps[event.app] : undefined;
          if (app !== undefined && (event.kind === "update" || event.kind === "restart_app")) {
            app.revision += 1n;
            if (event.kind === "update") app.dockerImage = app.dockerImage === "shop:1" ? "shop:2" : "shop:1";
            else app.restartCount += 1n;
            await rig.apply(config());
          } else if (event.kind === "removed" || event.kind === "stopped") {
            const { id } = rig.named(`app${event.app}-${event.index}`);
            if (event.kind === "removed") await rig.runtime.remove(id, { force: true }, signal);
            else await rig.runtime.stop(id, 0, signal);
            accidents++;
          } else await rig.wake();
          await rig.pass(60_000, 10_000);
          assert.equal(rig.containers.length, 4);
          assert.equal(repairsOf(rig), accidents, `after ${event.kind}`);
        }
      }),
      { numRuns: 60 },
    );
  }).timeout(120_000);

  it("repairs count a container that was made again, and begin at 0 with each start of a worker", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.settle();
    assert.equal(repairsOf(rig), 1);
    await rig.start({ apps: { web: {} } });
    assert.equal(repairsOf(rig), 0);
    await rig.runtime.stop(rig.named("web-1").id, 0, signal);
    await rig.settle();
    assert.equal(repairsOf(rig), 1, "what was applied before the start is known");
  });

  it("repairs count a restart for lost health", async () => {
    const healthcheck = { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };
    await using rig = new Rig({ behaviour: () => ({ healthcheck, health: { becomes: "healthy", afterMs: 1000 } }) });
    await rig.start({ apps: { web: {} } });
    await rig.pass(1000);
    assert.deepEqual([rig.stateOf("web"), repairsOf(rig)], ["applied", 0]);
    rig.runtime.setHealth(rig.named("web-1").id, "unhealthy");
    await rig.pass(5000, 1000);
    assert.deepEqual([rig.methods("restart").length, repairsOf(rig)], [1, 1]);
  });
});
