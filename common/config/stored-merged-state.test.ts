import { strict as assert } from "node:assert";
import { create, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { AppSchema } from "../../gen/nebula/v1/app_pb.ts";
import { AppEntrySchema, ConfigSchema, CronJobEntrySchema } from "../../gen/nebula/v1/config_pb.ts";
import { configOf } from "./merge-config.ts";
import type { MergedState } from "./merged-state.ts";
import { restoreMergedState, storeMergedState } from "./stored-merged-state.ts";

const revision = fc.bigInt(0n, 2n ** 64n - 1n);
const names = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d"), { maxLength: 4 });
const states: fc.Arbitrary<MergedState> = fc
  .record({
    id: fc.constant("11".repeat(16)),
    epoch: revision,
    group: revision,
    prune: revision,
    known: names,
    memberApps: names,
    memberCronJobs: names,
  })
  .map(
    ({ id, epoch, group, prune, known, memberApps, memberCronJobs }): MergedState => ({
      cluster: { id, epoch },
      deviceGroup: "pos",
      groupRevision: group,
      pruneId: prune,
      memberApps,
      memberCronJobs,
      otherGroups: new Map(known.map((name) => [name, { groupRevision: epoch, pruneId: group, memberApps, memberCronJobs: known }])),
      apps: new Map(memberApps.map((name) => [name, create(AppEntrySchema, { name, revision: group, app: { name, envVars: { A: "1" } } })])),
      cronJobs: new Map(memberCronJobs.map((name) => [name, create(CronJobEntrySchema, { name, revision: epoch })])),
      left: {
        apps: new Map(known.filter((name) => !memberApps.includes(name)).map((name) => [name, group])),
        cronJobs: new Map(known.filter((name) => !memberCronJobs.includes(name)).map((name) => [name, epoch])),
      },
    }),
  );

const throughAFile = (state: MergedState) => restoreMergedState(JSON.parse(JSON.stringify(storeMergedState(state))));

describe("a stored merged state", () => {
  it("a stored merged state is read back as it was", () => {
    fc.assert(
      fc.property(states, (state) => {
        const restored = throughAFile(state);
        assert.ok(restored);
        assert.deepEqual(
          { ...restored, apps: [...restored.apps.keys()], cronJobs: [...restored.cronJobs.keys()] },
          {
            ...state,
            apps: [...state.apps.keys()],
            cronJobs: [...state.cronJobs.keys()],
          },
        );
        for (const [name, entry] of state.apps) assert.ok(equals(AppEntrySchema, entry, restored.apps.get(name) ?? create(AppEntrySchema)));
        assert.ok(equals(ConfigSchema, configOf(restored), configOf(state)));
      }),
    );
  });

  it("a stored merged state keeps fields of a newer version", () => {
    const unknown = Uint8Array.from([0xca, 0x3e, 0x02, 0x68, 0x69]); // field 1001, "hi"
    const app = fromBinary(AppSchema, Uint8Array.from([...toBinary(AppSchema, create(AppSchema, { name: "web" })), ...unknown]));
    const [state] = fc.sample(states, 1);
    assert.ok(state);
    const restored = throughAFile({
      ...state,
      memberApps: ["web"],
      apps: new Map([["web", create(AppEntrySchema, { name: "web", revision: 1n, app })]]),
    });
    assert.deepEqual(
      restored?.apps.get("web")?.app?.$unknown?.map(({ no }) => no),
      [1001],
    );
  });

  it("a stored merged state of an older version, which knew no other groups, is read", () => {
    fc.assert(
      fc.property(states, (state) => {
        const { otherGroups: _, ...older } = storeMergedState(state);
        const restored = restoreMergedState(older);
        assert.ok(restored !== undefined);
        assert.equal(restored.otherGroups.size, 0);
        assert.deepEqual(restored.memberApps, state.memberApps);
      }),
    );
  });

  it("a stored merged state of an older version with whole entries of names that left the group keeps their revisions", () => {
    fc.assert(
      fc.property(states, (state) => {
        const gone = [...state.left.apps].map(([name, revision]) => create(AppEntrySchema, { name, revision }));
        const apps = new Map([...state.apps, ...gone.map((entry) => [entry.name, entry] as const)]);
        const { left: _, ...older } = storeMergedState({ ...state, apps });
        const restored = restoreMergedState(older);
        assert.deepEqual([...(restored?.apps.keys() ?? [])], [...state.apps.keys()]);
        assert.deepEqual(restored?.left.apps, state.left.apps);
      }),
    );
  });

  it("a stored merged state is distinguished from any other file", () => {
    fc.assert(
      fc.property(states, fc.anything(), fc.nat(), (state, garbage, pick) => {
        const stored: Record<string, unknown> = { ...storeMergedState(state) };
        const field = Object.keys(stored)[pick % Object.keys(stored).length] ?? "";
        const { [field]: _, ...without } = stored;
        if (field !== "otherGroups" && field !== "left") assert.equal(restoreMergedState(without), undefined);
        restoreMergedState(garbage); // must not throw
        restoreMergedState({ ...stored, [field]: garbage });
        assert.equal(restoreMergedState({ ...stored, [field]: { not: "that" } }), undefined);
      }),
    );
    for (const damaged of [undefined, null, 7, "{}", [], {}]) assert.equal(restoreMergedState(damaged), undefined);
    const [state] = fc.sample(states, 1);
    assert.ok(state);
    assert.equal(restoreMergedState({ ...storeMergedState(state), entries: "////" }), undefined);
  });
});
