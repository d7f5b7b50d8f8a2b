import { strict as assert } from "node:assert";
import { ManualClock } from "../clock/manual-clock.ts";
import { systemClock } from "../clock/system-clock.ts";
import { isNebulaError } from "../errors/nebula-error.ts";
import { createMemoryBus } from "./memory-bus.ts";
import type { BusMessage } from "./report-bus.ts";
import { describeReportBus } from "./report-bus-contract.ts";

describeReportBus("memory:", { open: async () => createMemoryBus({ clock: systemClock }), sharedTopics: false });

const never = new AbortController().signal;

function record(key: string, byte = 1) {
  return { key, value: Uint8Array.from([byte]) };
}

function isUnavailable(error: unknown): boolean {
  return isNebulaError(error, "unavailable");
}

/** Whether a promise is settled once everything that can run has run. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = () => {
    done = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  return done;
}

describe("memory bus", () => {
  it("the memory bus answers unavailable at once while there is no consumer", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock() });
    await assert.rejects(bus.publish(record("a"), never), isUnavailable);
  });

  it("a publish on the memory bus resolves only after the handler resolved", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock() });
    const release = Promise.withResolvers<void>();
    const stop = new AbortController();
    const ended = bus.consume(() => release.promise, { signal: stop.signal });
    const published = bus.publish(record("a"), never);
    assert.equal(await settled(published), false);
    release.resolve();
    await published;
    stop.abort();
    await ended;
  });

  it("the memory bus waits longer before each repeat of a rejected batch, and repeats the same records", async () => {
    const clock = new ManualClock();
    await using bus = createMemoryBus({ clock });
    const batches: (string | null)[][] = [];
    const waits: (number | undefined)[] = [];
    const stop = new AbortController();
    const ended = bus.consume(
      async (batch) => {
        batches.push(batch.map((message) => message.key));
        if (batches.length <= 9) throw new Error("away");
      },
      { signal: stop.signal },
    );
    const published = Promise.all([bus.publish(record("a"), never), bus.publish(record("b"), never)]);
    await clock.advance(0);
    const late = bus.publish(record("c"), never);
    for (let attempt = 0; attempt < 9; attempt++) {
      waits.push(clock.nextWakeMs);
      await clock.advance(clock.nextWakeMs ?? 0);
    }
    await published;
    await late;
    assert.deepEqual(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert.deepEqual(batches, [...Array.from({ length: 10 }, () => ["a", "b"]), ["c"]]);
    stop.abort();
    await ended;
  });

  it("the memory bus refuses a record above its capacity and takes one again when there is room", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock(), capacity: 3 });
    const release = Promise.withResolvers<void>();
    const stop = new AbortController();
    const ended = bus.consume(() => release.promise, { signal: stop.signal });
    const first = bus.publish(record("a"), never);
    await settled(first); // a is being handled now
    const more = Promise.all([bus.publish(record("b"), never), bus.publish(record("c"), never)]);
    await assert.rejects(bus.publish(record("d"), never), isUnavailable);
    release.resolve();
    await Promise.all([first, more]);
    await bus.publish(record("d"), never);
    stop.abort();
    await ended;
  });

  it("the memory bus bounds a batch", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock() });
    const sizes: number[] = [];
    const stop = new AbortController();
    const ended = bus.consume(
      async (batch) => {
        sizes.push(batch.length);
      },
      { signal: stop.signal },
    );
    await Promise.all(Array.from({ length: 1000 }, (_, index) => bus.publish(record(`d${index}`), never)));
    stop.abort();
    await ended;
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      1000,
    );
    assert.ok(Math.max(...sizes) <= 100, `a batch of ${Math.max(...sizes)}`);
  });

  it("the memory bus rejects every waiting publish when the consumer ends", async () => {
    const clock = new ManualClock();
    await using bus = createMemoryBus({ clock });
    const stop = new AbortController();
    const ended = bus.consume(() => Promise.reject(new Error("away")), { signal: stop.signal });
    const first = bus.publish(record("a"), never);
    const refused = assert.rejects(first, isUnavailable);
    await clock.advance(0);
    const second = assert.rejects(bus.publish(record("b"), never), isUnavailable);
    stop.abort();
    await ended;
    await Promise.all([refused, second]);
    await assert.rejects(bus.publish(record("c"), never), isUnavailable);
  });

  it("the memory bus forgets a waiting record whose publisher gave up", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock() });
    const release = Promise.withResolvers<void>();
    const seen: BusMessage[] = [];
    const stop = new AbortController();
    const ended = bus.consume(
      async (batch) => {
        await release.promise;
        seen.push(...batch);
      },
      { signal: stop.signal },
    );
    const first = bus.publish(record("a"), never);
    await settled(first);
    const impatient = new AbortController();
    const given = bus.publish(record("b"), impatient.signal);
    impatient.abort(new Error("too long"));
    await assert.rejects(given, /too long/);
    release.resolve();
    await first;
    await bus.publish(record("c"), never);
    assert.deepEqual(
      seen.map((message) => message.key),
      ["a", "c"],
    );
    stop.abort();
    await ended;
  });

  it("the memory bus ends its consumer when it is closed", async () => {
    const bus = createMemoryBus({ clock: new ManualClock() });
    const ended = bus.consume(async () => {}, { signal: never });
    await bus[Symbol.asyncDispose]();
    await ended;
  });

  it("the memory bus keeps a bounded number of dead records and counts all", async () => {
    await using bus = createMemoryBus({ clock: new ManualClock() });
    for (let index = 0; index < 250; index++) await bus.publishDead({ ...record(`d${index}`), timestampMs: index }, "not readable", never);
    assert.equal(bus.deadCount, 250);
    assert.equal(bus.dead.length, 100);
    assert.equal(bus.dead.at(-1)?.record.key, "d249");
  });
});
