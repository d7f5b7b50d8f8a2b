import { strict as assert } from "node:assert";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { readHistory } from "../../common/testing/read-all.ts";
import {
  type App,
  AppSchema,
  CreateAppRequestSchema,
  DeleteAppRequestSchema,
  RestartAppRequestSchema,
  StartAppRequestSchema,
  StopAppRequestSchema,
  UpdateAppRequestSchema,
} from "../../gen/nebula/v1/app_pb.ts";
import { createAppServiceHandlers } from "../services/entities/app-service.ts";
import { callOf, type EntityRig, startEntityRig } from "../testing/entity-rig.ts";
import { createEntity, updateEntity } from "./entity-operations.ts";
import { APP } from "./entity-type.ts";
import { EntityWriter } from "./write-entity.ts";

type Call = Readonly<{
  what: "create" | "update" | "redeploy" | "delete" | "start" | "stop" | "restart";
  image: string;
  ifRevision: bigint | undefined;
  shard: 0 | 1;
}>;

const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.record({
    what: fc.constantFrom<Call["what"][]>("create", "create", "update", "update", "redeploy", "delete", "start", "stop", "restart"),
    image: fc.constantFrom("a:1", "a:2"),
    ifRevision: fc.option(fc.bigInt({ min: 1n, max: 8n }), { nil: undefined, freq: 3 }),
    shard: fc.constantFrom<(0 | 1)[]>(0, 1),
  }),
  { minLength: 1, maxLength: 25 },
);

/** Does one call; answers the revision of what it wrote, or undefined where it was refused or kept what is stored. */
async function run(apps: EntityRig["apps"], { what, image, ifRevision }: Call): Promise<bigint | undefined> {
  const ann = callOf("ann");
  const at = { name: "web", ...(ifRevision === undefined ? {} : { ifRevision }) };
  const app: MessageInitShape<typeof AppSchema> = { name: "web", dockerImage: image };
  switch (what) {
    case "create":
      return (await apps.createApp(create(CreateAppRequestSchema, { app }), ann)).app?.revision;
    case "update":
    case "redeploy": {
      const request = { app, updateFields: ["docker_image"], redeploy: what === "redeploy", ...(ifRevision === undefined ? {} : { ifRevision }) };
      return (await apps.updateApp(create(UpdateAppRequestSchema, request), ann)).app?.revision;
    }
    case "delete":
      return (await apps.deleteApp(create(DeleteAppRequestSchema, at), ann)).revision;
    case "start":
      return (await apps.startApp(create(StartAppRequestSchema, at), ann)).app?.revision;
    case "stop":
      return (await apps.stopApp(create(StopAppRequestSchema, at), ann)).app?.revision;
    case "restart":
      return (await apps.restartApp(create(RestartAppRequestSchema, at), ann)).app?.revision;
  }
}

describe("writes", () => {
  it("writes of entities give, write and announce each revision once, for calls at once on two shards; the history agrees", async () => {
    await fc.assert(
      fc.asyncProperty(calls, fc.integer({ min: 1, max: 5 }), async (given, atOnce) => {
        await using rig = await startEntityRig();
        const shards = [rig.apps, createAppServiceHandlers(rig.deps)] as const;
        const answered: bigint[] = [];
        for (let from = 0; from < given.length; from += atOnce) {
          const outcomes = await Promise.allSettled(given.slice(from, from + atOnce).map((call) => run(shards[call.shard], call)));
          for (const outcome of outcomes) {
            if (outcome.status === "fulfilled" && outcome.value !== undefined) answered.push(outcome.value);
            else if (outcome.status === "rejected") assert.ok(isNebulaError(outcome.reason), String(outcome.reason));
          }
        }
        const history = (await readHistory(rig.store, { kind: "app", name: "web" })).reverse();
        assert.deepEqual(
          history.map(({ revision }) => revision),
          history.map((_, index) => BigInt(index + 1)),
        );
        assert.deepEqual(
          rig.told,
          history.map(({ revision }) => `app web ${revision}`),
        );
        const written = new Set(history.map(({ revision }) => revision));
        for (const revision of answered) assert.ok(written.has(revision), `${revision} was answered and is not there`);
        for (const [index, entry] of history.entries()) {
          const before = history[index - 1];
          assert.equal(entry.action === "create", before === undefined || before.deleted);
          assert.equal(entry.deleted, entry.action === "delete");
          const [now, then] = [fromBinary(AppSchema, entry.body), before && fromBinary(AppSchema, before.body)];
          if (entry.action === "restart") assert.equal(now.restartCount, (then?.restartCount ?? 0n) + 1n);
          assert.ok(now.restartCount >= (then?.restartCount ?? 0n));
        }
      }),
      { numRuns: 100 },
    );
  }).timeout(60_000);

  it("writes of entities encode an entity once for an update, and not at all if nothing differs", async () => {
    await using rig = await startEntityRig();
    let encoded = 0;
    const encode = (app: App) => {
      encoded++;
      return APP.encode(app);
    };
    const writer = new EntityWriter({ ...APP, encode }, rig.deps);
    const update = (dockerImage: string) => {
      const fields = { given: create(AppSchema, { name: "web", dockerImage }), updateFields: ["docker_image"], redeploy: false };
      return updateEntity(writer, fields, callOf("root"));
    };
    await createEntity(writer, { given: create(AppSchema, { name: "web", dockerImage: "a:1" }) }, callOf("root"));
    assert.equal(encoded, 1);
    assert.equal((await update("a:2")).wrote, true);
    assert.equal(encoded, 2);
    assert.equal((await update("a:2")).wrote, false);
    assert.equal(encoded, 2);
  });
});
