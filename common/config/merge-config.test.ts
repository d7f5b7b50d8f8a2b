import { strict as assert } from "node:assert";
import { clone, create, equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { type Config, ConfigSchema } from "../../gen/nebula/v1/config_pb.ts";
import { mergeConfig } from "./merge-config.ts";
import type { MergedState } from "./merged-state.ts";
import { storeMergedState } from "./stored-merged-state.ts";

const NAMES = ["a", "b", "c", "d"];
const CLUSTER = { id: "11".repeat(16), epoch: 1n };

type History = { groupRevision: bigint; members: string[] }[];

/** A config as a shard could have composed it at some time: the group at a revision, its members each at some revision. */
const configOf = (
  members: readonly string[],
  groupRevision: bigint,
  revisionOf: (name: string) => bigint,
  cluster = CLUSTER,
  deviceGroup = "pos",
): Config =>
  create(ConfigSchema, {
    cluster,
    deviceGroup,
    groupRevision,
    pruneId: groupRevision,
    apps: members.map((name) => {
      const revision = revisionOf(name);
      // even revisions are tombstones, so that a delete is a change like any other
      return { name, revision, ...(revision % 2n === 0n ? {} : { app: { name, revision, dockerImage: `shop:${revision}` } }) };
    }),
  });

const revisions = fc.dictionary(fc.constantFrom(...NAMES), fc.bigInt(1n, 20n), { minKeys: NAMES.length });
const histories: fc.Arbitrary<History> = fc
  .array(fc.subarray(NAMES), { minLength: 1, maxLength: 5 })
  .map((lists) => lists.map((members, i) => ({ groupRevision: BigInt(i + 1), members })));
const sequences = histories.chain((history) =>
  fc
    .array(fc.tuple(fc.constantFrom(...history), revisions), { minLength: 1, maxLength: 12 })
    .map((picks) => picks.map(([{ groupRevision, members }, at]) => configOf(members, groupRevision, (name) => at[name] ?? 1n))),
);

function mergeAll(configs: readonly Config[], start?: MergedState): MergedState {
  let state = start;
  for (const config of configs) {
    const result = mergeConfig(state, config);
    if (result.kind !== "ignored") state = result.state;
  }
  assert.ok(state);
  return state;
}

/** The highest revision by name, of members and of names that left, sorted by name. */
function revisionsOf({ apps, left }: MergedState): ReadonlyMap<string, bigint> {
  const members = [...apps].map(([name, { revision }]) => [name, revision] as const);
  return new Map([...members, ...left.apps].sort());
}

describe("mergeConfig", () => {
  it("mergeConfig ends at the highest revision of every name seen, in any order and any number of times", () => {
    fc.assert(
      fc.property(sequences, (configs) => {
        const highest = new Map<string, bigint>();
        for (const { apps } of configs) for (const { name, revision } of apps) if (revision > (highest.get(name) ?? 0n)) highest.set(name, revision);
        const shuffled = [...configs, ...configs].reverse();
        for (const order of [configs, shuffled]) {
          const state = mergeAll(order);
          assert.deepEqual(revisionsOf(state), new Map([...highest].sort()));
          const newest = configs.reduce((a, b) => (b.groupRevision > a.groupRevision ? b : a));
          assert.deepEqual(
            state.memberApps,
            newest.apps.map(({ name }) => name),
          );
          assert.equal(state.groupRevision, newest.groupRevision);
        }
      }),
    );
  });

  it("mergeConfig never takes a name backwards, and reports an older revision", () => {
    fc.assert(
      fc.property(sequences, (configs) => {
        let state: MergedState | undefined;
        for (const config of configs) {
          const result = mergeConfig(state, config);
          assert.notEqual(result.kind, "ignored");
          if (result.kind === "ignored") return;
          const [before, after] = [state === undefined ? new Map<string, bigint>() : revisionsOf(state), revisionsOf(result.state)];
          for (const [name, revision] of before) assert.ok((after.get(name) ?? 0n) >= revision);
          const older =
            config.apps.some(({ name, revision }) => revision < (before.get(name) ?? 0n)) || config.groupRevision < (state?.groupRevision ?? 0n);
          assert.equal(result.kind === "merged" && result.ignoredEntry, older);
          if (!older) assert.ok(equals(ConfigSchema, result.config, config), "nothing ignored: what arrived is what runs");
          state = result.state;
        }
      }),
    );
  });

  it("mergeConfig answers a config of the group's members in their order, each at its highest revision, tombstones without a spec", () => {
    const first = mergeAll([configOf(["a", "b"], 1n, () => 3n)]);
    const result = mergeConfig(
      first,
      configOf(["b", "c"], 2n, (name) => (name === "b" ? 2n : 1n)),
    );
    assert.ok(result.kind === "merged" && result.ignoredEntry);
    assert.deepEqual(
      result.config.apps.map(({ name, revision, app }) => [name, revision, app?.dockerImage]),
      [
        ["b", 3n, "shop:3"],
        ["c", 1n, "shop:1"],
      ],
    );
    assert.deepEqual([...result.state.left.apps], [["a", 3n]], "of a name that left its revision is known");
    assert.deepEqual([...result.state.apps.keys()], ["b", "c"], "and nothing else");
  });

  it("mergeConfig leaves a member that comes back at an older revision out of the config, until a newer one comes; as a tombstone it counts", () => {
    const left = mergeAll([configOf(["a", "b"], 1n, () => 5n), configOf(["b"], 2n, () => 5n)]);
    const stale = mergeConfig(
      left,
      configOf(["a", "b"], 3n, (name) => (name === "a" ? 3n : 5n)),
    );
    assert.ok(stale.kind === "merged" && stale.ignoredEntry);
    assert.deepEqual(stale.unknown, ["a"]);
    assert.deepEqual(
      stale.config.apps.map(({ name }) => name),
      ["b"],
    );
    for (const revision of [5n, 6n]) {
      const back = mergeConfig(
        stale.state,
        configOf(["a", "b"], 3n, (name) => (name === "a" ? revision : 5n)),
      );
      assert.ok(back.kind === "merged" && !back.ignoredEntry);
      assert.deepEqual(
        back.config.apps.map(({ name, app }) => [name, app?.dockerImage]),
        [
          ["a", revision === 5n ? "shop:5" : undefined],
          ["b", "shop:5"],
        ],
      );
      assert.equal(back.state.left.apps.size, 0);
    }
  });

  it("mergeConfig remembers the 4,096 names of a kind that left last, and the last 4 groups that the device was in", () => {
    const many = Array.from({ length: 5000 }, (_, index) => `app-${index}`);
    let state = mergeAll([configOf(many, 1n, () => 7n)]);
    state = mergeAll([configOf(many.slice(1000), 2n, () => 7n), configOf(many.slice(0, 0), 3n, () => 7n)], state);
    assert.equal(state.apps.size, 0);
    assert.equal(state.left.apps.size, 4096);
    assert.equal(state.left.apps.get("app-903"), undefined, "the name that left first was evicted first");
    assert.equal(state.left.apps.get("app-904"), 7n);
    assert.equal(state.left.apps.get("app-4999"), 7n);

    const groups = ["g1", "g2", "g3", "g4", "g5", "g6"].map((name) => configOf(["a"], 1n, () => 1n, CLUSTER, name));
    assert.deepEqual([...mergeAll(groups).otherGroups.keys()], ["g2", "g3", "g4", "g5"]);
  });

  it("mergeConfig starts again with another cluster, or a higher epoch, and ignores a lower one (R4)", () => {
    const state = mergeAll([configOf(["a"], 9n, () => 9n)]);
    const other = mergeConfig(
      state,
      configOf(["a"], 1n, () => 1n, { id: "22".repeat(16), epoch: 1n }),
    );
    assert.ok(other.kind === "new_cluster");
    assert.equal(other.state.apps.get("a")?.revision, 1n);
    const restored = mergeConfig(
      state,
      configOf(["a"], 1n, () => 1n, { id: CLUSTER.id, epoch: 2n }),
    );
    assert.ok(restored.kind === "new_cluster");
    const late = mergeConfig(
      restored.state,
      configOf(["a"], 10n, () => 10n),
    );
    assert.equal(late.kind, "ignored");
  });

  it("mergeConfig ignores a config that names no cluster, with and without a state", () => {
    const state = mergeAll([configOf(["a"], 9n, () => 9n)]);
    const nowhere = create(ConfigSchema, { deviceGroup: "pos", groupRevision: 10n });
    assert.equal(mergeConfig(state, nowhere).kind, "ignored");
    assert.equal(mergeConfig(undefined, nowhere).kind, "ignored");
  });

  it("mergeConfig changes neither of its arguments", () => {
    fc.assert(
      fc.property(sequences, (configs) => {
        const [first, ...rest] = configs;
        if (first === undefined) return;
        const state = mergeAll([first]);
        const before = storeMergedState(state);
        for (const config of rest) {
          const copy = clone(ConfigSchema, config);
          mergeConfig(state, config);
          assert.ok(equals(ConfigSchema, config, copy));
        }
        assert.deepEqual(storeMergedState(state), before);
      }),
    );
  });

  it("mergeConfig follows a device into another group of the same cluster, and keeps the names that it knows", () => {
    const state = mergeAll([configOf(["a", "b"], 7n, () => 5n)]);
    const moved = mergeConfig(
      state,
      configOf(["a"], 2n, () => 3n, CLUSTER, "kiosk"),
    );
    assert.ok(moved.kind === "merged");
    assert.equal(moved.state.groupRevision, 2n);
    assert.deepEqual(moved.state.memberApps, ["a"]);
    assert.equal(moved.state.apps.get("a")?.revision, 5n);
    assert.equal(moved.state.pruneId, 2n);
  });

  it("mergeConfig does not take a device that comes back to a group to an older state than it knows", () => {
    const left = mergeAll([configOf(["a", "b"], 7n, () => 5n), configOf(["c"], 2n, () => 3n, CLUSTER, "kiosk")]);
    const stale = mergeConfig(
      left,
      configOf(["a", "d"], 6n, () => 5n),
    );
    assert.ok(stale.kind === "merged" && stale.ignoredEntry);
    assert.deepEqual(
      [stale.config.deviceGroup, stale.config.groupRevision, stale.config.pruneId, stale.config.apps.map(({ name }) => name)],
      ["pos", 7n, 7n, ["a"]],
      "b left, and no config brings what it was: it is not run",
    );
    assert.deepEqual(stale.state.memberApps, ["a", "b"]);
    assert.deepEqual(stale.unknown, ["b"]);
    const newer = mergeConfig(
      left,
      configOf(["a", "d"], 8n, () => 5n),
    );
    assert.ok(newer.kind === "merged" && !newer.ignoredEntry);
    assert.deepEqual(newer.state.memberApps, ["a", "d"]);
    assert.deepEqual([...newer.state.otherGroups.keys()], ["kiosk"]);
  });
});
