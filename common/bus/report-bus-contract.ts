import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import type { BusMessage, ReportBus } from "./report-bus.ts";

const never = new AbortController().signal;

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function text(message: BusMessage): string {
  return new TextDecoder().decode(message.value);
}

/** Consumes on its own until it is stopped, keeping what it was given. */
function collect(bus: ReportBus, handler: (batch: readonly BusMessage[]) => Promise<void> = async () => {}) {
  const stop = new AbortController();
  const seen: BusMessage[] = [];
  const ended = bus.consume(async (batch) => {
    await handler(batch);
    seen.push(...batch);
  }, stop.signal);
  return {
    seen,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/** What every report bus promises. `open` answers an empty bus that nobody else uses; it may take a while until it delivers. */
export function describeReportBus(name: string, open: () => Promise<ReportBus>): void {
  describe(`report bus ${name}`, () => {
    it("hands over what was published, with its key, its bytes and the time", async () => {
      await using bus = await open();
      await using consumer = collect(bus);
      const value = Uint8Array.from([0, 255, 123, 10]);
      const before = Date.now();
      await bus.publish({ key: "device-a", value }, never);
      await eventually(() => consumer.seen.length > 0);
      const [message] = consumer.seen;
      assert.ok(message);
      assert.equal(message.key, "device-a");
      assert.deepEqual([...message.value], [...value]);
      assert.ok(Math.abs(message.timestampMs - before) < 60_000, `taken at ${message.timestampMs}, published at ${before}`);
    });

    it("keeps the order of each device, however many publish", async () => {
      await using bus = await open();
      await using consumer = collect(bus);
      const devices = Array.from({ length: 20 }, (_, index) => `device-${index}`);
      await Promise.all(
        devices.map(async (key) => {
          for (let seq = 1; seq <= 10; seq++) await bus.publish({ key, value: bytes(`${key} ${seq}`) }, never);
        }),
      );
      await eventually(() => consumer.seen.length >= 200);
      for (const key of devices) {
        const order = consumer.seen.filter((message) => message.key === key).map(text);
        assert.deepEqual(
          order,
          Array.from({ length: 10 }, (_, index) => `${key} ${index + 1}`),
        );
      }
    });

    it("hands over a batch again when its handler rejected, beginning with the same record", async () => {
      await using bus = await open();
      const attempts: string[] = [];
      await using consumer = collect(bus, async (batch) => {
        attempts.push(...batch.slice(0, 1).map(text));
        if (attempts.length < 3) throw new Error("the store is away");
      });
      const id = randomUUID();
      await bus.publish({ key: "device-a", value: bytes(id) }, never);
      await eventually(() => consumer.seen.length > 0);
      assert.deepEqual(attempts.slice(0, 3), [id, id, id]);
    });

    it("commits what a handler was at when the end came, and resolves then", async () => {
      await using bus = await open();
      const stop = new AbortController();
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      let finished = false;
      const ended = bus.consume(async () => {
        begun.resolve();
        await release.promise;
        finished = true;
      }, stop.signal);
      const published = bus.publish({ key: "device-a", value: bytes("x") }, never);
      await begun.promise;
      stop.abort();
      release.resolve();
      await ended;
      assert.ok(finished, "the handler was not waited for");
      await published;
    });

    it("can be consumed again after an end", async () => {
      await using bus = await open();
      {
        await using first = collect(bus);
        await bus.publish({ key: "device-a", value: bytes("one") }, never);
        await eventually(() => first.seen.length === 1);
      }
      await using second = collect(bus);
      await bus.publish({ key: "device-a", value: bytes("two") }, never);
      await eventually(() => second.seen.some((message) => text(message) === "two"));
    });

    it("does not publish for somebody who has gone", async () => {
      await using bus = await open();
      await using consumer = collect(bus);
      const gone = AbortSignal.abort(new Error("gone"));
      await assert.rejects(bus.publish({ key: "device-a", value: bytes("no") }, gone), /gone/);
      await bus.publish({ key: "device-a", value: bytes("yes") }, never);
      await eventually(() => consumer.seen.length > 0);
      assert.deepEqual(consumer.seen.map(text), ["yes"]);
    });

    it("keeps a record that can't be read", async () => {
      await using bus = await open();
      await bus.publishDead({ key: "device-a", value: Uint8Array.from([1]), timestampMs: 1 }, "not a BusRecord");
    });

    it("refuses what is published after it was closed", async () => {
      const bus = await open();
      await bus[Symbol.asyncDispose]();
      await assert.rejects(bus.publish({ key: "device-a", value: bytes("x") }, never), (error) => isNebulaError(error, "unavailable"));
    });
  });
}
