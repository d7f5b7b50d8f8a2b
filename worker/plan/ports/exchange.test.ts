import { strict as assert } from "node:assert";
import { type ConfigInit, perServer } from "../../../common/testing/config-builder.ts";
import { Rig } from "../../testing/rig.ts";

type AppInit = NonNullable<ConfigInit["apps"]>[string];

function app(revision: bigint, hostPorts: readonly number[], more: Partial<NonNullable<AppInit>> = {}): AppInit {
  return {
    revision,
    networks: ["nebula"],
    minHealthyMs: 1000,
    startingPorts: hostPorts.map((hostPort) => ({ hostPort, containerPort: hostPort })),
    ...more,
  };
}

function hostPortsOf(rig: Rig, name: string): readonly number[] {
  return rig
    .named(name)
    .hostPorts.map(({ hostPort }) => hostPort)
    .sort();
}

describe("an exchange of host ports", () => {
  it("an exchange of host ports between two apps stops both old containers before it starts a new one", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { a: app(1n, [80]), b: app(1n, [81]) } });
    await rig.pass(60_000);
    rig.calls.length = 0;
    await rig.apply({ apps: { a: app(2n, [81]), b: app(2n, [80]) } });
    await rig.pass(60_000);
    assert.deepEqual(
      rig.methods("stop", "start").map(({ method }) => method),
      ["stop", "stop", "start", "start"],
    );
    assert.deepEqual([hostPortsOf(rig, "a-1"), hostPortsOf(rig, "b-1")], [[81], [80]]);
    assert.deepEqual([rig.stateOf("a"), rig.stateOf("b")], ["applied", "applied"]);
  });

  it("an exchange of host ports completes two rolls each of which waits for a container of the other whose turn has not come", async () => {
    await using rig = new Rig();
    const rolling = (revision: bigint, hostPorts: readonly number[]) =>
      app(revision, hostPorts, { rollingRestart: true, containersPer: perServer(2) });
    await rig.start({ apps: { a: rolling(1n, [8000, 9000]), b: rolling(1n, [8100, 9100]) } });
    await rig.pass(60_000);
    // a-1 needs 8101 of b-2, a-2 needs 9100 of b-1, b-1 needs 8001 of a-2, b-2 needs 9000 of a-1.
    const notes = new Set<string>();
    rig.runtime.before = () => {
      if (rig.look?.kind === "seen") for (const state of rig.look.plan.states.apps) for (const note of state.notes) notes.add(note);
    };
    await rig.apply({ apps: { a: rolling(2n, [8101, 9099]), b: rolling(2n, [8001, 8999]) } });
    await rig.pass(300_000, 1000);
    assert.deepEqual([rig.stateOf("a"), rig.stateOf("b")], ["applied", "applied"]);
    assert.deepEqual(rig.shown, ["a-1 running", "a-2 running", "b-1 running", "b-2 running"]);
    assert.deepEqual(
      ["a-1", "a-2", "b-1", "b-2"].map((name) => hostPortsOf(rig, name)),
      [
        [8101, 9099],
        [8102, 9100],
        [8001, 8999],
        [8002, 9000],
      ],
    );
    assert.deepEqual(
      [...notes].sort(),
      ["a-1, a-2", "b-1, b-2"].map((names) => `containers exchange host ports, so the roll replaces them together: ${names}`),
    );
  });

  it("an exchange of host ports completes the roll of one app whose three containers wait for each other in a circle", async () => {
    await using rig = new Rig();
    const rolling = (revision: bigint, hostPorts: readonly number[]) =>
      app(revision, hostPorts, { rollingRestart: true, containersPer: perServer(3) });
    await rig.start({ apps: { a: rolling(1n, [8000, 9000]) } });
    await rig.pass(60_000);
    // a-1 needs 9002 of a-3, a-3 needs 8001 of a-2, a-2 needs 8000 of a-1.
    const notes = new Set<string>();
    const calls: string[] = [];
    rig.runtime.before = ({ method }) => {
      if (method === "create" || method === "stop") calls.push(method);
      if (rig.look?.kind === "seen") for (const state of rig.look.plan.states.apps) for (const note of state.notes) notes.add(note);
    };
    await rig.apply({ apps: { a: rolling(2n, [9002, 7999]) } });
    await rig.pass(300_000, 1000);
    assert.equal(rig.stateOf("a"), "applied");
    assert.deepEqual(rig.shown, ["a-1 running", "a-2 running", "a-3 running"]);
    assert.deepEqual(
      ["a-1", "a-2", "a-3"].map((name) => hostPortsOf(rig, name)),
      [
        [7999, 9002],
        [8000, 9003],
        [8001, 9004],
      ],
    );
    assert.deepEqual(calls, ["create", "create", "create", "stop", "stop", "stop"], "no container is stopped before each new one is made");
    assert.ok(notes.has("containers exchange host ports, so the roll replaces them together: a-1, a-2, a-3"), [...notes].join("; "));
  });

  it("an exchange of host ports does not take part in a roll that only waits for the turn of the other app", async () => {
    await using rig = new Rig();
    const rolling = (revision: bigint, hostPort: number) => app(revision, [hostPort], { rollingRestart: true, containersPer: perServer(2) });
    await rig.start({ apps: { a: rolling(1n, 8000), b: rolling(1n, 8100) } });
    await rig.pass(60_000);
    await rig.apply({ apps: { a: rolling(2n, 8101), b: rolling(2n, 8200) } }); // a-1 needs 8101 of b-2
    for (let second = 0; second < 120; second++) {
      const up = rig.shown.filter((line) => /^[ab]-\d\S* running$/.test(line));
      assert.ok(up.filter((line) => line.startsWith("b")).length >= 1 && up.filter((line) => line.startsWith("a")).length >= 1, rig.shown.join(", "));
      if (rig.look?.kind === "seen")
        assert.deepEqual(
          rig.look.plan.states.apps.flatMap(({ notes }) => notes),
          [],
        );
      await rig.pass(1000);
    }
    assert.deepEqual([rig.stateOf("a"), rig.stateOf("b")], ["applied", "applied"]);
    assert.deepEqual([hostPortsOf(rig, "a-1"), hostPortsOf(rig, "b-2")], [[8101], [8201]]);
  });
});
