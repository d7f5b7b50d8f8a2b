import { strict as assert } from "node:assert";
import { createHook } from "node:async_hooks";
import { createRequire } from "node:module";
import { Registry } from "prom-client";
import { systemClock } from "../../clock/system-clock.ts";
import { silentLog } from "../../log/log.ts";
import { eventually } from "../../testing/eventually.ts";
import { freshTopic, kafkaUrl, requireServer, type TestServer } from "../../testing/servers.ts";
import { migrateKafka, openKafkaBus } from "./kafka-bus.ts";
import { createKafka } from "./kafka-client.ts";
import { NO_LOGIN } from "./kafka-login.ts";
import { parseKafkaUrl } from "./kafka-url.ts";
import "./kafkajs-guards.ts";

const never = new AbortController().signal;
const options = { login: NO_LOGIN, clock: systemClock, log: silentLog, signal: never };

/** Counts the timers that kafkajs, or what replaces parts of it, makes and still has. */
function countTimers() {
  const open = new Set<number>();
  const counts = { made: 0, open: () => open.size };
  const hook = createHook({
    init(id, type) {
      if (type !== "Timeout") return;
      const stack = new Error().stack ?? "";
      if (!/node_modules\/kafkajs|kafkajs-guards\.ts/.test(stack)) return;
      counts.made += 1;
      open.add(id);
    },
    destroy: (id) => void open.delete(id),
  });
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 50;
  hook.enable();
  return {
    ...counts,
    get made() {
      return counts.made;
    },
    [Symbol.dispose]() {
      hook.disable();
      Error.stackTraceLimit = limit;
    },
  };
}

describe("the guards of kafkajs", () => {
  let server: TestServer;
  before("start Kafka", async function () {
    server = await requireServer(this, "kafka");
  });

  it("the guards of kafkajs stand in for the version that is installed", () => {
    const { version }: { version: string } = createRequire(import.meta.url)("kafkajs/package.json");
    assert.equal(version, "2.2.4");
  });

  it("the guards of kafkajs leave no timer while no request is pending, after there were some", async () => {
    const url = kafkaUrl(server);
    await migrateKafka({ url, ...options });
    using timers = countTimers();
    await using bus = await openKafkaBus({ url, ...options, registry: new Registry() });
    for (let seq = 1; seq <= 3; seq++) await bus.publish({ key: "device-a", value: Buffer.from(String(seq)) }, never);
    assert.ok(timers.made > 0);
    await eventually(() => timers.open() === 0);
  });

  it("kafkajs makes at most ten timers for each fetch while a consumer waits for records", async () => {
    const topic = freshTopic();
    const kafka = createKafka(parseKafkaUrl(kafkaUrl(server, topic)), NO_LOGIN, silentLog);
    await migrateKafka({ url: kafkaUrl(server, topic), ...options });
    const consumer = kafka.consumer({ groupId: topic, maxWaitTimeInMs: 500 });
    let fetches = 0;
    consumer.on(consumer.events.FETCH, () => void fetches++);
    try {
      await consumer.connect();
      await consumer.subscribe({ topic });
      await consumer.run({ eachBatch: async () => {} });
      await eventually(() => fetches >= 2);
      using timers = countTimers();
      const [before, made] = [fetches, timers.made];
      await eventually(() => fetches >= before + 4);
      assert.ok(timers.made - made <= 10 * (fetches - before), `${timers.made - made} timers in ${fetches - before} fetches`);
    } finally {
      await consumer.disconnect();
    }
  });
});
