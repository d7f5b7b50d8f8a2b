import { strict as assert } from "node:assert";
import { create, type Message } from "@bufbuild/protobuf";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import { silentLog } from "../../../common/log/log.ts";
import { WatchConfigResponseSchema } from "../../../gen/nebula/v1/config_pb.ts";
import { PolledGroups, UNPOLLED_KEPT_MS } from "./polled-groups.ts";

const CONFIG = create(WatchConfigResponseSchema, {
  answer: { case: "config", value: { config: { cluster: { id: "c", epoch: 1n }, deviceGroup: "g", groupRevision: 1n, pruneId: 1n }, etag: "e" } },
});

const NO_SUCH_GROUP = create(WatchConfigResponseSchema, { answer: { case: "noSuchGroup", value: {} } });

/** Managers that answer every watch with a config and keep it open, while they are up. */
function rig(mostGroups = 10, mostUnknown = 100) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const managers = { up: true, open: 0, opened: 0, end: new AbortController() };
  async function* serverStream(_method: unknown, request: Message, { signal }: { signal: AbortSignal }): AsyncGenerator<Message, void> {
    managers.opened++;
    if (!managers.up) throw new NebulaError("unavailable", "no manager");
    managers.open++;
    try {
      yield "deviceGroup" in request && String(request.deviceGroup).startsWith("absent") ? NO_SUCH_GROUP : CONFIG;
      const gone = Promise.withResolvers<void>();
      const ended = AbortSignal.any([signal, managers.end.signal]);
      if (ended.aborted) return;
      ended.addEventListener("abort", () => gone.resolve(), { once: true });
      await gone.promise;
    } finally {
      managers.open--;
    }
  }
  const groups = new PolledGroups({ pool: { serverStream }, partToken: "t", clock, log: silentLog, mostGroups, mostUnknown }, stop.signal);
  return { clock, stop, managers, groups };
}

describe("polled device_groups", () => {
  it("polled groups have one watch each, for any number of polls", async () => {
    const { clock, stop, managers, groups } = rig();
    await groups.polled("a").answered(stop.signal);
    for (let n = 0; n < 100; n++) assert.equal(groups.polled("a").answer?.kind, "info");
    await groups.polled("b").answered(stop.signal);
    assert.deepEqual([managers.open, groups.size], [2, 2]);
    stop.abort();
    await clock.advance(0);
    assert.equal(managers.open, 0);
  });

  it("D1: polled groups are dropped after a minute without a poll", async () => {
    const { clock, stop, managers, groups } = rig();
    await groups.polled("a").answered(stop.signal);
    await groups.polled("b").answered(stop.signal);
    await clock.advance(UNPOLLED_KEPT_MS - 1000);
    assert.equal(managers.open, 2);
    groups.known("b");
    await clock.advance(10_000);
    assert.deepEqual([managers.open, groups.size, groups.known("a")], [1, 1, undefined]);
    assert.ok(groups.known("b"));
    stop.abort();
  });

  it("D2: polled groups are bounded: the one that was polled longest ago is evicted", async () => {
    const { clock, stop, managers, groups } = rig(2);
    for (const name of ["a", "b"]) {
      await groups.polled(name).answered(stop.signal);
      await clock.advance(10);
    }
    groups.known("a");
    await clock.advance(10);
    await groups.polled("c").answered(stop.signal);
    await clock.advance(0);
    assert.deepEqual(
      ["a", "b", "c"].map((name) => groups.known(name) !== undefined),
      [true, false, true],
    );
    assert.equal(managers.open, 2);
    stop.abort();
  });

  it("D3: polled groups hold no watch for a name without a group, and keep those that exist", async () => {
    const { clock, stop, managers, groups } = rig(2);
    for (const name of ["a", "b"]) await groups.polled(name).answered(stop.signal);
    for (let count = 0; count < 5000; count++) {
      const answer = await groups.polled(`absent-${count}`).answered(stop.signal);
      assert.equal(answer.kind, "no_such_group");
    }
    await clock.advance(0);
    assert.deepEqual([managers.open, groups.size, managers.opened], [2, 2, 5002]);
    assert.deepEqual([groups.isAbsent("absent-4999"), groups.isAbsent("absent-0"), groups.isAbsent("a")], [true, false, false]);
    await clock.advance(1000);
    assert.equal(groups.isAbsent("absent-4999"), false, "it may have been made meanwhile");
    assert.deepEqual([groups.known("a")?.answer?.kind, groups.known("b")?.answer?.kind], ["info", "info"]);
    stop.abort();
  });

  it("D3: polled groups are refused for a moment beyond the bound of unknown ones; known ones are answered", async () => {
    const { clock, stop, managers, groups } = rig(10, 3);
    await groups.polled("a").answered(stop.signal);
    managers.up = false;
    for (const name of ["b", "c", "d"]) groups.polled(name);
    assert.throws(
      () => groups.polled("e"),
      (error) => isNebulaError(error, "unavailable"),
    );
    assert.equal(groups.polled("a").answer?.kind, "info");
    managers.up = true;
    await clock.advance(5000);
    assert.equal((await groups.polled("e").answered(stop.signal)).kind, "info");
    stop.abort();
  });

  it("G3: polled groups are answered without a watch for 10 s, then when there is one again", async () => {
    const { clock, stop, managers, groups } = rig();
    const group = groups.polled("a");
    await group.answered(stop.signal);
    managers.up = false;
    managers.end.abort();
    await clock.advance(9900);
    assert.equal(group.answer?.kind, "info");
    await clock.advance(200);
    assert.equal(group.answer, undefined);
    const late = assert.rejects(group.answered(stop.signal), (error) => isNebulaError(error, "unavailable"));
    await clock.advance(5000);
    await late;
    assert.ok(managers.opened < 40, `${managers.opened} attempts in 15 s`);
    managers.up = true;
    managers.end = new AbortController();
    const waiting = group.answered(stop.signal);
    await clock.advance(5000);
    assert.equal((await waiting).kind, "info");
    stop.abort();
  });
});
