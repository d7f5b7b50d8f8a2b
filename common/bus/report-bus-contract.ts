import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { isNebulaError } from "../errors/nebula-error.ts";
import { eventually } from "../testing/eventually.ts";
import type { BatchHandler, BusMessage, ReportBus } from "./report-bus.ts";

const never = new AbortController().signal;

export type BusUnderTest = Readonly<{
  /** Opens a bus on the topic, and makes the topic if it is missing; it may take a while until it delivers. */
  open(topic: string): Promise<ReportBus>;
  /** Whether two buses on one topic share its records: two ends of one log. */
  sharedTopics: boolean;
  /** How long a record may take from its publish to a consumer that joins meanwhile, milliseconds; 10,000. */
  slowestMs?: number;
}>;

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function text(message: BusMessage): string {
  return new TextDecoder().decode(message.value);
}

/** Consumes on its own until it is stopped, keeping what it was given; a consumer that fails is replaced. */
export function collect(bus: ReportBus, handler: BatchHandler = async () => {}) {
  const stop = new AbortController();
  const joined = Promise.withResolvers<void>();
  const seen: BusMessage[] = [];
  const failures: unknown[] = [];
  const keep: BatchHandler = async (batch, signal) => {
    await handler(batch, signal);
    seen.push(...batch);
  };
  async function run(): Promise<void> {
    while (!stop.signal.aborted) await bus.consume(keep, { signal: stop.signal, onJoined: joined.resolve }).catch((error) => failures.push(error));
  }
  const ended = run();
  return {
    seen,
    failures,
    joined: joined.promise,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

/** The first of each text, in order: a bus may hand a record over more than once. */
function firsts(messages: readonly BusMessage[], key: string | null): string[] {
  return [...new Set(messages.filter((message) => message.key === key).map(text))];
}

function numbered(key: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${key} ${index + 1}`);
}

/** The promises of every report bus. */
export function describeReportBus(name: string, { open, sharedTopics, slowestMs = 10_000 }: BusUnderTest): void {
  const within = { timeoutMs: slowestMs };
  const freshTopic = () => `reports-${randomUUID()}`;
  const fresh = () => open(freshTopic());

  describe(`report bus ${name}`, function () {
    this.timeout(slowestMs * 3);

    it("the bus delivers a published record, with its key, its bytes and the time", async () => {
      await using bus = await fresh();
      await using consumer = collect(bus);
      await consumer.joined;
      const value = Uint8Array.from([0, 255, 123, 10]);
      const before = Date.now();
      await bus.publish({ key: "device-a", value }, never);
      await eventually(() => consumer.seen.length > 0, within);
      const [message] = consumer.seen;
      assert.ok(message);
      assert.equal(message.key, "device-a");
      assert.deepEqual([...message.value], [...value]);
      assert.ok(Math.abs(message.timestampMs - before) < 60_000, `taken at ${message.timestampMs}, published at ${before}`);
    });

    it("the bus delivers a record without a key", async () => {
      await using bus = await fresh();
      await using consumer = collect(bus);
      await consumer.joined;
      await bus.publish({ key: null, value: bytes("from a worker of the original") }, never);
      await eventually(() => consumer.seen.length > 0, within);
      assert.deepEqual(
        consumer.seen.map((message) => [message.key, text(message)]),
        [[null, "from a worker of the original"]],
      );
    });

    it("the bus reports once that a consumer has joined, before it delivers the first record", async () => {
      await using bus = await fresh();
      const stop = new AbortController();
      const order: string[] = [];
      const handler: BatchHandler = async (batch) => void order.push(...batch.map(() => "record"));
      const ended = bus.consume(handler, { signal: stop.signal, onJoined: () => void order.push("joined") });
      await eventually(() => order.length > 0, within);
      await bus.publish({ key: "device-a", value: bytes("x") }, never);
      await eventually(() => order.length > 1, within);
      stop.abort();
      await ended;
      assert.deepEqual(order, ["joined", "record"]);
    });

    it("the bus keeps the order of each device for any number of publishers", async () => {
      await using bus = await fresh();
      await using consumer = collect(bus);
      await consumer.joined;
      const devices = Array.from({ length: 20 }, (_, index) => `device-${index}`);
      await Promise.all(
        devices.map(async (key) => {
          for (const value of numbered(key, 10)) await bus.publish({ key, value: bytes(value) }, never);
        }),
      );
      await eventually(() => consumer.seen.length >= 200, within);
      for (const key of devices) assert.deepEqual(firsts(consumer.seen, key), numbered(key, 10));
    });

    it("the bus keeps the order of concurrent publishes of one device, large and small ones in turn", async () => {
      await using bus = await fresh();
      await using consumer = collect(bus);
      await consumer.joined;
      const values = numbered("device-a", 60).map((value, index) => (index % 10 === 0 ? value.padEnd(300_000, ".") : value));
      await Promise.all(values.map((value) => bus.publish({ key: "device-a", value: bytes(value) }, never)));
      await eventually(() => consumer.seen.length >= values.length, within);
      assert.deepEqual(firsts(consumer.seen, "device-a"), values);
    });

    it("the bus delivers a batch again when its handler rejected, beginning with the same record", async () => {
      await using bus = await fresh();
      const attempts: string[] = [];
      await using consumer = collect(bus, async (batch) => {
        attempts.push(...batch.slice(0, 1).map(text));
        if (attempts.length < 3) throw new Error("the store is unreachable");
      });
      await consumer.joined;
      const id = randomUUID();
      await bus.publish({ key: "device-a", value: bytes(id) }, never);
      await eventually(() => consumer.seen.length > 0, within);
      assert.deepEqual(attempts.slice(0, 3), [id, id, id]);
    });

    it("the bus hands a slow handler one batch of a device at a time, and loses no record that is published meanwhile", async () => {
      await using bus = await fresh();
      const release = Promise.withResolvers<void>();
      let inside = 0;
      let most = 0;
      await using consumer = collect(bus, async () => {
        most = Math.max(most, ++inside);
        await release.promise;
        inside -= 1;
      });
      await consumer.joined;
      const published = numbered("device-a", 50).map((value) => bus.publish({ key: "device-a", value: bytes(value) }, never));
      await eventually(() => inside === 1, within);
      release.resolve();
      await Promise.all(published);
      await eventually(() => consumer.seen.length >= 50, within);
      assert.equal(most, 1);
      assert.deepEqual(firsts(consumer.seen, "device-a"), numbered("device-a", 50));
    });

    it("the bus does not abort the signal of a handler whose partition stays", async () => {
      await using bus = await fresh();
      const signals: AbortSignal[] = [];
      {
        await using consumer = collect(bus, async (_batch, signal) => void signals.push(signal));
        await consumer.joined;
        await bus.publish({ key: "device-a", value: bytes("x") }, never);
        await eventually(() => consumer.seen.length > 0, within);
      }
      assert.deepEqual(
        signals.map((signal) => signal.aborted),
        [false],
      );
    });

    it("the bus commits the batch that a handler has when the consumer ends, and resolves then", async () => {
      await using bus = await fresh();
      const stop = new AbortController();
      const joined = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const release = Promise.withResolvers<void>();
      let finished = false;
      const handler: BatchHandler = async (_batch, signal) => {
        begun.resolve();
        await release.promise;
        signal.throwIfAborted();
        finished = true;
      };
      const ended = bus.consume(handler, { signal: stop.signal, onJoined: joined.resolve });
      await joined.promise;
      const published = bus.publish({ key: "device-a", value: bytes("x") }, never);
      await begun.promise;
      stop.abort();
      release.resolve();
      await ended;
      assert.ok(finished, "the handler was not waited for");
      await published;
      await using next = collect(bus);
      await next.joined;
      await bus.publish({ key: "device-a", value: bytes("y") }, never);
      await eventually(() => next.seen.length > 0, within);
      assert.deepEqual(next.seen.map(text), ["y"]);
    });

    it("the bus can be consumed again after a consumer ended", async () => {
      await using bus = await fresh();
      {
        await using first = collect(bus);
        await first.joined;
        await bus.publish({ key: "device-a", value: bytes("one") }, never);
        await eventually(() => first.seen.length === 1, within);
      }
      await using second = collect(bus);
      await second.joined;
      await bus.publish({ key: "device-a", value: bytes("two") }, never);
      await eventually(() => second.seen.some((message) => text(message) === "two"), within);
    });

    it("the bus takes one consumer at a time", async () => {
      await using bus = await fresh();
      const stop = new AbortController();
      const ended = bus.consume(async () => {}, { signal: stop.signal });
      await assert.rejects(
        bus.consume(async () => {}, { signal: stop.signal }),
        (error) => isNebulaError(error, "failed_precondition"),
      );
      stop.abort();
      await ended;
    });

    it("the bus does not publish for a caller that has gone", async () => {
      await using bus = await fresh();
      await using consumer = collect(bus);
      await consumer.joined;
      const gone = AbortSignal.abort(new Error("gone"));
      await assert.rejects(bus.publish({ key: "device-a", value: bytes("no") }, gone), /gone/);
      await bus.publish({ key: "device-a", value: bytes("yes") }, never);
      await eventually(() => consumer.seen.length > 0, within);
      assert.deepEqual(consumer.seen.map(text), ["yes"]);
    });

    it("the bus keeps a record that cannot be read", async () => {
      await using bus = await fresh();
      const position = { partition: 0, offset: 7n };
      await bus.publishDead({ key: null, value: Uint8Array.from([1]), timestampMs: 1, position }, "not a BusRecord", never);
    });

    it("the bus refuses records that are published after it was closed", async () => {
      const bus = await fresh();
      await bus[Symbol.asyncDispose]();
      await assert.rejects(bus.publish({ key: "device-a", value: bytes("x") }, never), (error) => isNebulaError(error, "unavailable"));
    });

    if (sharedTopics) describeTwoEnds(open, freshTopic, within);
  });
}

/** The promises of a bus whose records several processes share. */
function describeTwoEnds(open: BusUnderTest["open"], freshTopic: () => string, within: { timeoutMs: number }): void {
  const devices = Array.from({ length: 40 }, (_, index) => `device-${index}`);

  async function publishRound(bus: ReportBus, round: number): Promise<void> {
    await Promise.all(devices.map((key) => bus.publish({ key, value: bytes(`${key} ${round}`) }, never)));
  }

  it("the bus keeps records that are published without a consumer, for a consumer that comes later", async () => {
    const topic = freshTopic();
    await using publisher = await open(topic);
    await publisher.publish({ key: "device-a", value: bytes("early") }, never);
    await using bus = await open(topic);
    await using consumer = collect(bus);
    await eventually(() => consumer.seen.length > 0, within);
    assert.deepEqual(consumer.seen.map(text), ["early"]);
  });

  it("the bus shares the devices between two consumers, loses nothing when one leaves, and repeats nothing that was committed", async () => {
    const topic = freshTopic();
    await using publisher = await open(topic);
    await using one = await open(topic);
    await using two = await open(topic);
    await using first = collect(one);
    await first.joined;
    {
      await using second = collect(two);
      await second.joined;
      let round = 0;
      await eventually(async () => {
        await publishRound(publisher, ++round);
        return first.seen.length > 0 && second.seen.length > 0;
      }, within);
      await eventually(() => devices.every((key) => firsts([...first.seen, ...second.seen], key).length === round), within);
      first.seen.push(...second.seen);
    }
    const before = first.seen.length;
    await publishRound(publisher, 1_000_000);
    await eventually(() => devices.every((key) => firsts(first.seen, key).at(-1) === `${key} 1000000`), within);
    assert.equal(first.seen.length, before + devices.length);
  });

  it("the bus notifies a handler that its partition is lost, and delivers the same records to the consumer that has it now", async () => {
    const topic = freshTopic();
    await using publisher = await open(topic);
    await using one = await open(topic);
    await using two = await open(topic);
    const lost: string[] = [];
    await using first = collect(one, async (batch, signal) => {
      if (lost.length > 0) return;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      lost.push(...batch.map(text));
      throw signal.reason;
    });
    await first.joined;
    await publishRound(publisher, 1);
    await using second = collect(two);
    await second.joined;
    await eventually(() => devices.every((key) => firsts([...first.seen, ...second.seen], key).length === 1), within);
    assert.ok(lost.length > 0);
    assert.ok(second.seen.some((message) => lost.includes(text(message))));
  });
}
