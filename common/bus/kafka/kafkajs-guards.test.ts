import { strict as assert } from "node:assert";
import { createHook } from "node:async_hooks";
import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Registry } from "prom-client";
import { systemClock } from "../../clock/system-clock.ts";
import { silentLog } from "../../log/log.ts";
import { eventually } from "../../testing/eventually.ts";
import { freshTopic, kafkaUrl, requireServer, type TestServer } from "../../testing/servers.ts";
import { migrateKafka, openKafkaBus } from "./kafka-bus.ts";
import { createKafka } from "./kafka-client.ts";
import { NO_LOGIN } from "./kafka-login.ts";
import { parseKafkaUrl } from "./kafka-url.ts";
import type { Connection } from "./kafkajs-guards.ts";
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

type Answer = Readonly<{ correlationId: number; payload: Buffer }>;
type ConnectionClass = new (
  options: object,
) => Connection & {
  connectionStatus: string;
  disconnect(): Promise<boolean>;
  readonly requestQueue: { fulfillRequest(answer: Answer): void };
};
const load = createRequire(import.meta.url);
const KafkaConnection: ConnectionClass = load("kafkajs/src/network/connection");
const socketFactory: () => unknown = load("kafkajs/src/network/socketFactory");

describe("a connection of kafkajs that is opened again", () => {
  const logger = { namespace: () => logger, debug() {}, error() {}, info() {}, warn() {} };
  const answer = (correlationId: number) => Buffer.concat([Buffer.from([0, 0, 0, 8, 0, 0, 0, correlationId]), Buffer.from("body")]);

  it("a connection of kafkajs that is opened again reads answers from their beginning, and nothing of its socket before", async () => {
    const sockets: Socket[] = [];
    const broker = createServer({ allowHalfOpen: true }, (socket) => void sockets.push(socket.on("error", () => {})));
    broker.listen(0, "127.0.0.1");
    await once(broker, "listening");
    const { port } = broker.address() as AddressInfo;
    const options = { host: "127.0.0.1", port, logger, socketFactory: socketFactory(), connectionTimeout: 5000, requestTimeout: 5000 };
    const connection = new KafkaConnection(options);
    const answered: number[] = [];
    connection.requestQueue.fulfillRequest = ({ correlationId }) => void answered.push(correlationId);
    try {
      await connection.connect();
      await eventually(() => sockets.length === 1);
      sockets[0]?.write(answer(1));
      sockets[0]?.write(answer(2).subarray(0, 3)); // of the second answer only a part came
      await eventually(() => answered.length === 1 && connection.bytesBuffered === 3);
      await connection.disconnect();
      await connection.connect();
      await eventually(() => sockets.length === 2);
      sockets[0]?.write(answer(3)); // the socket of before is still open on the broker's side
      sockets[1]?.write(answer(4));
      await eventually(() => answered.length >= 2);
      sockets[0]?.end();
      sockets[1]?.write(answer(5));
      await eventually(() => answered.length >= 3);
      assert.deepEqual(answered, [1, 4, 5]);
      assert.ok(connection.isConnected());
    } finally {
      await connection.disconnect();
      for (const socket of sockets) socket.destroy();
      broker.close();
    }
  });
});
