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
  .map(({ id, epoch, group, prune, known, memberApps, memberCronJobs }) => ({
    cluster: { id, epoch },
    deviceGroup: "pos",
    groupRevision: group,
    pruneId: prune,
    memberApps,
    memberCronJobs,
    otherGroups: new Map(known.map((name) => [name, { groupRevision: epoch, pruneId: group, memberApps, memberCronJobs: known }])),
    apps: new Map(known.map((name) => [name, create(AppEntrySchema, { name, revision: group, app: { name, envVars: { A: "1" } } })])),
    cronJobs: new Map(known.map((name) => [name, create(CronJobEntrySchema, { name, revision: epoch })])),
  }));

const throughAFile = (state: MergedState) => restoreMergedState(JSON.parse(JSON.stringify(storeMergedState(state))));

describe("a stored merged state", () => {
  it("comes back as it was", () => {
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

  it("keeps fields of a newer version", () => {
    const unknown = Uint8Array.from([0xca, 0x3e, 0x02, 0x68, 0x69]); // field 1001, "hi"
    const app = fromBinary(AppSchema, Uint8Array.from([...toBinary(AppSchema, create(AppSchema, { name: "web" })), ...unknown]));
    const [state] = fc.sample(states, 1);
    assert.ok(state);
    const restored = throughAFile({ ...state, apps: new Map([["web", create(AppEntrySchema, { name: "web", revision: 1n, app })]]) });
    assert.deepEqual(
      restored?.apps.get("web")?.app?.$unknown?.map(({ no }) => no),
      [1001],
    );
  });

  it("may be of an older version, which knew no other groups", () => {
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

  it("is told from anything else", () => {
    fc.assert(
      fc.property(states, fc.anything(), fc.nat(), (state, garbage, pick) => {
        const stored: Record<string, unknown> = { ...storeMergedState(state) };
        const field = Object.keys(stored)[pick % Object.keys(stored).length] ?? "";
        const { [field]: _, ...without } = stored;
        if (field !== "otherGroups") assert.equal(restoreMergedState(without), undefined);
        restoreMergedState(garbage); // whatever it is, it does not throw
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
