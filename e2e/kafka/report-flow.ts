import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import { Registry } from "prom-client";
import { migrateKafka, openKafkaBus } from "../../common/bus/kafka/kafka-bus.ts";
import { NO_LOGIN } from "../../common/bus/kafka/kafka-login.ts";
import type { BusMessage, ReportBus } from "../../common/bus/report-bus.ts";
import { systemClock } from "../../common/clock/system-clock.ts";
import { isNebulaError } from "../../common/errors/nebula-error.ts";
import { silentLog } from "../../common/log/log.ts";

const never = new AbortController().signal;

/** Makes a topic of few partitions on a server. */
export async function makeTopic(address: string, topic: string, partitions = 4): Promise<void> {
  const url = `kafka://${address}/${topic}?partitions=${partitions}`;
  await migrateKafka({ url, login: NO_LOGIN, clock: systemClock, log: silentLog, signal: never });
}

/** Opens a bus on a topic, with the metrics of its process. */
export async function openBus(address: string, topic: string): Promise<ReportBus & { registry: Registry }> {
  const registry = new Registry();
  const bus = await openKafkaBus({ url: `kafka://${address}/${topic}`, login: NO_LOGIN, clock: systemClock, log: silentLog, registry });
  return { ...bus, registry };
}

/** The value of a metric, summed over its labels. */
export async function metricValue(registry: Registry, name: string): Promise<number> {
  const metric = (await registry.getMetricsAsJSON()).find((each) => each.name === name);
  return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
}

/** Devices that publish numbered records as workers do: one in flight each, and after a refusal the next one, a little later. */
export class ReportFlow implements AsyncDisposable {
  /** The numbers that were acknowledged, in order, by device. */
  readonly acknowledged = new Map<string, number[]>();
  refused = 0;
  readonly #encode: (device: string, seq: number) => Uint8Array;
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;

  /** @param encode the value of a record; its number as text where absent */
  constructor(bus: Pick<ReportBus, "publish">, { devices = 12, encode = (_: string, seq: number): Uint8Array => Buffer.from(String(seq)) } = {}) {
    this.#encode = encode;
    const names = Array.from({ length: devices }, (_, index) => `device-${index}`);
    this.#running = Promise.all(names.map((name) => this.#report(bus, name)));
  }

  get count(): number {
    return [...this.acknowledged.values()].reduce((sum, numbers) => sum + numbers.length, 0);
  }

  /** Ends the devices, and waits for their last answers. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #report(bus: Pick<ReportBus, "publish">, key: string): Promise<void> {
    const done: number[] = [];
    this.acknowledged.set(key, done);
    for (let seq = 1; !this.#stop.signal.aborted; seq++) {
      try {
        await bus.publish({ key, value: this.#encode(key, seq) }, never);
        done.push(seq);
      } catch (error) {
        if (!isNebulaError(error, "unavailable")) throw error;
        this.refused += 1;
      }
      await delay(20, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  /** Whether each record that was acknowledged has been seen. */
  isSeenBy(seen: readonly BusMessage[]): boolean {
    const had = new Set(seen.map(({ key, value }) => `${key} ${Buffer.from(value)}`));
    return [...this.acknowledged].every(([key, numbers]) => numbers.every((number) => had.has(`${key} ${number}`)));
  }

  /** Asserts that the records that were acknowledged were seen, for the first time each, in the order of their numbers. */
  assertInOrder(seen: readonly BusMessage[]): void {
    assert.ok(this.count > 0);
    for (const [device, numbers] of this.acknowledged) {
      const acknowledged = new Set(numbers);
      const firsts = new Set(seen.filter(({ key }) => key === device).map(({ value }) => Number(Buffer.from(value))));
      assert.deepEqual(
        [...firsts].filter((number) => acknowledged.has(number)),
        numbers,
        device,
      );
    }
  }
}
