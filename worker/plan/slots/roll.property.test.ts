import { strict as assert } from "node:assert";
import fc from "fast-check";
import { configOf, perServer } from "../../../common/testing/config-builder.ts";
import type { ImageBehaviour } from "../../runtime/simulated/behaviour.ts";
import { arbitraryTrouble, troubleInOrder } from "../../testing/arbitrary-world.ts";
import { Killed, World } from "../../testing/world.ts";

const CHECK = { test: ["CMD", "true"], intervalMs: 1000, timeoutMs: 1000, retries: 1, startPeriodMs: 0 };
const numRuns = process.env.NEBULA_TEST_LONG === "1" ? 2000 : 60;

/** shop:1 and shop:2 become healthy after 2 s, sick:1 becomes unhealthy. */
function behaviour(image: string): Partial<ImageBehaviour> {
  return { healthcheck: CHECK, health: { becomes: image.includes("sick") ? "unhealthy" : "healthy", afterMs: 2000 } };
}

/** A change: the spec that all containers are re-created for, and their number. */
const change = fc.record({
  image: fc.constantFrom("shop:1", "shop:2", "sick:1"),
  value: fc.constantFrom("a", "b", "c"),
  count: fc.integer({ min: 1, max: 6 }),
});

describe("a rolling restart, with any change and a kill of the worker anywhere", function () {
  this.timeout(600_000);

  it("a rolling restart, with any change and a kill of the worker anywhere, never takes more than one passing container down at a time", () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.record({ change, kills: fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 3 }) }), { minLength: 1, maxLength: 4 }),
        fc.array(arbitraryTrouble, { maxLength: 15 }),
        async (firstCount, changes, troubles) => {
          const world = new World({ images: ["shop:1", "shop:2", "sick:1"], behaviour });
          const passing = () => world.containers.filter(({ phase, health }) => phase === "running" && health === "healthy").length;
          const apply = (revision: bigint, image: string, value: string, count: number) =>
            world.apply(
              configOf({
                groupRevision: revision,
                apps: { web: { revision, dockerImage: image, rollingRestart: true, containersPer: perServer(count), envVars: { VALUE: value } } },
              }),
            );
          await apply(1n, "shop:1", "first", firstCount);
          await world.converge();
          assert.equal(passing(), firstCount);
          world.runtime.trouble = troubleInOrder(troubles);
          let least = firstCount - 1;
          world.watch = () => assert.ok(passing() >= least, `${passing()} pass, at least ${least} have to: ${world.shown.join(", ")}`);
          for (const [step, { change, kills }] of changes.entries()) {
            // Scaling down takes containers away for good; one that is sick already is the first to be replaced.
            least = Math.min(least, change.count - 1);
            await apply(BigInt(step + 2), change.image, change.value, change.count);
            for (const callsLeft of kills) {
              world.callsLeft = callsLeft;
              await converge(world);
              await world.restart();
            }
            await converge(world);
            if (passing() === change.count) least = change.count - 1;
          }
          world.runtime.trouble = undefined;
          await converge(world);
          const last = changes.at(-1)?.change;
          if (last !== undefined && last.image !== "sick:1") {
            assert.deepEqual(
              world.shown,
              Array.from({ length: last.count }, (_, i) => `web-${i + 1} running`),
            );
            assert.ok(
              world.containers.every(({ image }) => image.endsWith(last.image)),
              "every container has the newest image",
            );
          }
          assert.deepEqual(world.violations, []);
        },
      ),
      { numRuns },
    ));
});

/** Half an hour: a sick container is restarted again and again, with waits. */
async function converge(world: World): Promise<void> {
  try {
    await world.converge({ horizonMs: 30 * 60_000 });
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  }
}
