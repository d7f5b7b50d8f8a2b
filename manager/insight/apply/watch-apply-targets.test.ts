import { strict as assert } from "node:assert";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { isNebulaError, type NebulaError } from "../../../common/errors/nebula-error.ts";
import { AppSchema } from "../../../gen/nebula/v1/app_pb.ts";
import { type ApplyTargetSchema, ApplyVerb, ApplyVerdict } from "../../../gen/nebula/v1/apply_pb.ts";
import { DeviceGroupSchema } from "../../../gen/nebula/v1/device_group_pb.ts";
import { TargetKind } from "../../../gen/nebula/v1/device_pb.ts";
import { NO_RIGHTS } from "../../access/rights/rights.ts";
import { ADMIN, device, follow, startWorld, states, WEB, working } from "../../testing/apply-world.ts";

describe("the targets of WatchApply", () => {
  it("a newer revision is reported with its author, and devices at it count as applied", async () => {
    const world = startWorld();
    world.write("pos", "a", working("a"));
    const followed = follow(world);
    await world.clock.advance(0);
    assert.deepEqual(followed.last.superseded, []);
    world.setEntity({ kind: "app", name: "web" }, 43n, { changedBy: "bob" });
    await world.clock.advance(1000);
    assert.deepEqual(
      followed.last.superseded?.map(({ name, revision, by }) => [name, revision, by]),
      [["web", 43n, "bob"]],
    );
    world.write("pos", "a", device("a", { revision: 43n }));
    await world.clock.advance(10_250);
    assert.equal(followed.verdict, ApplyVerdict.APPLIED);
  });

  it("a revision of 0 is the newest one as the store has it: running, stopped, deleted, and all members of a group", async () => {
    const world = startWorld();
    world.write("pos", "a", device("a", { revision: 42n }));
    const verdict = async (target: MessageInitShape<typeof ApplyTargetSchema>) => {
      const { ended, messages } = follow(world, { targets: [target], timeoutMs: 0 });
      await ended;
      const [only] = messages;
      return [states(only?.message ?? {}), only?.message.revisions];
    };
    const web = { kind: TargetKind.APP, name: "web" };
    assert.deepEqual(await verdict(web), [{ applied: 1 }, [42n]]);
    world.setEntity({ kind: "app", name: "web" }, 42n, { body: toBinary(AppSchema, create(AppSchema, { name: "web", running: false })) });
    assert.deepEqual(await verdict(web), [{ working: 1 }, [42n]]);
    world.setEntity({ kind: "app", name: "web" }, 43n, { deleted: true });
    assert.deepEqual(await verdict(web), [{ waiting: 1 }, [43n]]);
    const body = toBinary(DeviceGroupSchema, create(DeviceGroupSchema, { name: "pos", apps: ["web", "more"] }));
    world.setEntity({ kind: "device_group", name: "pos" }, 0n + 5n, { body });
    assert.deepEqual(await verdict({ kind: TargetKind.DEVICE_GROUP, name: "pos" }), [{ waiting: 1 }, [5n]]);
  });

  it("a target that never existed is not found, one that is not valid is refused, and one that the caller may not read is denied", async () => {
    const world = startWorld();
    const fails = async (targets: MessageInitShape<typeof ApplyTargetSchema>[], kind: NebulaError["kind"], principal = ADMIN) =>
      assert.rejects(follow(world, { targets }, principal).ended, (error) => isNebulaError(error, kind));
    await fails([{ ...WEB, name: "never" }], "not_found");
    await fails([], "invalid_argument");
    await fails([{ ...WEB, verb: ApplyVerb.PRUNE }], "invalid_argument");
    await fails([{ ...WEB, name: "not a name" }], "invalid_argument");
    await fails([{ name: "web" }], "invalid_argument");
    await fails([{ kind: TargetKind.DEVICE_GROUP, name: "pos", added: [{ name: "x" }] }], "invalid_argument");
    await fails([WEB], "permission_denied", { kind: "user", name: "eve", rights: NO_RIGHTS });
    assert.equal(world.openViews, 0);
  });
});
