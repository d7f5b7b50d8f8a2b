import { strict as assert } from "node:assert";
import fc from "fast-check";
import { FailureCode } from "../../../gen/nebula/v1/report_pb.ts";
import { applied, device, failing, follow, recount, startWorld, states, working } from "../../testing/apply-world.ts";
import type { DeviceInGroup } from "../views/group-view.ts";

describe("WatchApply with devices that do anything", () => {
  it("the last message equals a recount from the store: devices do anything, and the feed loses events", async () => {
    const ids = ["a", "b", "c", "d", "e"];
    const event = fc.record({
      group: fc.constantFrom("pos", "shop", "other"),
      id: fc.constantFrom(...ids),
      make: fc.constantFrom<((id: string) => DeviceInGroup) | undefined>(
        undefined,
        device,
        applied,
        working,
        failing,
        (id) => failing(id, FailureCode.NO_SPACE),
        (id) => applied(id, false),
        (id) => working(id, false),
        (id) => device(id, { revision: 43n, applied: 43n }),
        (id) => device(id, { revision: 0n, original: true }),
        (deviceId) => ({ ...device(deviceId), summary: undefined }),
      ),
      lost: fc.boolean(),
      ms: fc.constantFrom(0, 10, 100, 1000, 4000),
      groups: fc.option(fc.subarray(["pos", "shop", "other"]), { freq: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 30 }), async (events) => {
        const world = startWorld();
        for (const id of ids.slice(0, 3)) world.write("pos", id, device(id));
        const followed = follow(world, { timeoutMs: 40_000 });
        let groups: readonly string[] = ["pos"];
        for (const { group, id, make, lost, ms, groups: next } of events) {
          if (next !== null) {
            groups = next;
            world.setGroups("web", [...next]);
          }
          for (const other of ["pos", "shop", "other"]) if (other !== group) world.write(other, id, undefined, lost); // a device is in one group
          const row = make?.(id);
          world.write(group, id, row, lost);
          world.write(group, id, row, lost); // reported twice
          await world.clock.advance(ms);
          if (followed.verdict !== undefined) break;
        }
        await world.clock.advance(60_000);
        await followed.ended;
        const { counts, failures } = followed.last;
        assert.deepEqual(states(followed.last), recount(world, groups));
        assert.equal(
          Number(counts?.devices),
          Object.values(recount(world, groups)).reduce((sum, count) => sum + count, 0),
        );
        assert.equal(
          failures?.reduce((sum, { devices }) => sum + Number(devices), 0),
          recount(world, groups).failed ?? 0,
        );
        assert.deepEqual([world.openViews, world.listeners], [0, 0]);
      }),
      { numRuns: 60 },
    );
  });
});
