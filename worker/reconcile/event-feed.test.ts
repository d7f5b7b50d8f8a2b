import { strict as assert } from "node:assert";
import { Rig } from "../testing/rig.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const signal = new AbortController().signal;
const count = (rig: Rig, method: "events" | "listContainers") => rig.methods(method).length;

describe("an engine whose events are refused", () => {
  it("an engine whose events are refused is observed every 30 s instead, which is reported, and asked again with waits up to 5 minutes", async () => {
    await using rig = new Rig();
    rig.runtime.refusesEvents = true;
    await rig.start({ apps: { web: {} } });
    await rig.pass(10 * SECOND, 500);
    assert.deepEqual(rig.problems, ["events_unavailable"]);
    assert.equal(rig.stateOf("web"), "applied");
    await rig.pass(10 * MINUTE, SECOND);
    rig.calls.length = 0;
    await rig.pass(60 * MINUTE, 5 * SECOND);
    assert.ok(count(rig, "events") >= 11 && count(rig, "events") <= 13, `${count(rig, "events")} streams in an hour`);
    assert.ok(count(rig, "listContainers") >= 118 && count(rig, "listContainers") <= 122, `${count(rig, "listContainers")} looks in an hour`);
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.pass(31 * SECOND, SECOND);
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("an engine whose events are refused is followed by its events again once they can be read, though nothing happens", async () => {
    await using rig = new Rig();
    rig.runtime.refusesEvents = true;
    await rig.start({ apps: { web: {} } });
    await rig.pass(MINUTE, SECOND);
    assert.deepEqual(rig.problems, ["events_unavailable"]);
    rig.runtime.refusesEvents = false;
    await rig.pass(7 * MINUTE, SECOND);
    assert.deepEqual(rig.problems, []);
    rig.calls.length = 0;
    await rig.pass(10 * MINUTE, SECOND);
    assert.equal(count(rig, "events"), 0, "the stream stays open");
    assert.ok(count(rig, "listContainers") <= 2, "one look every 5 minutes");
    await rig.runtime.remove(rig.named("web-1").id, { force: true }, signal);
    await rig.settle();
    assert.deepEqual(rig.shown, ["web-1 running"]);
  });

  it("an engine that restarts again and again does not count as one whose events are refused", async () => {
    await using rig = new Rig();
    await rig.start({ apps: { web: {} } });
    for (let restart = 0; restart < 5; restart++) {
      rig.runtime.shutDown();
      await rig.pass(2 * MINUTE, SECOND);
      rig.runtime.boot();
      await rig.pass(2 * MINUTE, SECOND);
      assert.deepEqual(rig.problems, []);
    }
  });
});
