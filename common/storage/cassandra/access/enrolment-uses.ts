/**
 * Uses of enrolment tokens: taken by many devices in one batch, so that a fleet that enrols at once is not one
 * transaction per device in one partition.
 *
 * G1 Uses left and the device that took one change in one batch of the enrolment token's partition, under the condition
 *    that nothing changed since they were read (A4). A device that is found to have a use for the generation of its row
 *    takes no other.
 * G2 At most one batch per enrolment token runs in a process; devices that come meanwhile wait for the next one,
 *    MOST_WAITING of them.
 */
import type { Clock } from "../../../clock/clock.ts";
import { NebulaError } from "../../../errors/nebula-error.ts";
import { integer, text } from "../connection/rows.ts";
import { type AccessPartition, newWriter } from "./access-partition.ts";
import { type EnrolmentRow, readEnrolment } from "./enrolment-rows.ts";

export type UseOutcome = "taken" | "used_up" | "ended" | "unknown";

type Waiting = Readonly<{ deviceId: string; generation: number; resolve: (outcome: UseOutcome) => void; reject: (error: unknown) => void }>;

const SELECT_ADMITTED = "SELECT device_id, generation FROM enrolment WHERE id = ? AND device_id IN ?";
const TAKE_USES = "UPDATE enrolment SET uses_left = ?, writer = ? WHERE id = ? IF writer = ?";
const ADMIT = "INSERT INTO enrolment (id, device_id, generation) VALUES (?, ?, ?)";

/** Devices of one batch. */
const BATCH = 50;
const MOST_WAITING = 10_000;
/** The longest wait before a batch that another process was faster than, milliseconds. */
const BACK_OFF_MS = 50;

export class EnrolmentUses {
  readonly #partition: AccessPartition;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting[]>();
  #count = 0;

  constructor(partition: AccessPartition, clock: Clock) {
    this.#partition = partition;
    this.#clock = clock;
  }

  /**
   * Takes a use for a device, or finds the one that it has; `unknown` where the signal is aborted first. Rejects with
   * `unavailable` where too many wait.
   */
  async take(id: string, deviceId: string, generation: number, signal: AbortSignal | undefined): Promise<UseOutcome> {
    if (this.#count >= MOST_WAITING)
      throw new NebulaError("unavailable", "too many devices enrol at once: call again in a moment", { retryAfterMs: 1000 });
    this.#count++;
    const gone = Promise.withResolvers<UseOutcome>();
    const onAbort = () => gone.resolve("unknown");
    signal?.addEventListener("abort", onAbort, { once: true });
    const settled = new Promise<UseOutcome>((resolve, reject) => {
      const one = { deviceId, generation, resolve, reject };
      const waiting = this.#waiting.get(id);
      if (waiting !== undefined) waiting.push(one);
      else {
        this.#waiting.set(id, [one]);
        void this.#run(id); // G2
      }
    }).finally(() => this.#count--);
    try {
      return await Promise.race([settled, gone.promise]);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Whether the device has a use for this generation of its row. */
  async has(id: string, deviceId: string, generation: number, signal: AbortSignal | undefined): Promise<boolean> {
    return (await this.#admitted(id, [deviceId], signal)).get(deviceId) === generation;
  }

  async #run(id: string): Promise<void> {
    for (;;) {
      const waiting = this.#waiting.get(id) ?? [];
      const batch = waiting.splice(0, BATCH);
      if (batch.length === 0) break;
      try {
        await this.#admit(id, batch);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#waiting.delete(id);
  }

  async #admit(id: string, batch: readonly Waiting[]): Promise<void> {
    for (let left = batch; left.length > 0; ) {
      const enrolment = await readEnrolment(this.#partition, id, "serial_read", undefined);
      const admitted = await this.#admitted(
        id,
        left.map(({ deviceId }) => deviceId),
        undefined,
      ); // after the uses: who was admitted in between has changed those
      const others = left.filter((one) => admitted.get(one.deviceId) !== one.generation);
      settle(
        left.filter((one) => !others.includes(one)),
        "taken",
      ); // G1
      if (enrolment === undefined || enrolment.state !== "in" || enrolment.usesLeft === 0) {
        settle(others, enrolment?.state === "in" ? "used_up" : "ended");
        return;
      }
      const chosen = uniqueDevices(others).slice(0, enrolment.usesLeft);
      if (chosen.length === 0) return;
      const change = await this.#write(enrolment, chosen);
      if (change === "unknown") settle(chosen, "unknown");
      if (change === "applied") settle(chosen, "taken");
      left = change === "refused" ? others : others.filter((one) => !chosen.includes(one));
      if (change === "refused") await this.#clock.sleep(Math.random() * BACK_OFF_MS, new AbortController().signal);
    }
  }

  #write(enrolment: EnrolmentRow, chosen: readonly Waiting[]): Promise<"applied" | "refused" | "unknown"> {
    const { id, usesLeft } = enrolment;
    const writer = newWriter();
    const isMine = async () => {
      return (await readEnrolment(this.#partition, id, "serial_read", undefined))?.writer === writer;
    }; // where others wrote since, the devices that have a use are read next
    const queries = [
      { cql: TAKE_USES, params: [usesLeft - chosen.length, writer, id, enrolment.writer] },
      ...chosen.map(({ deviceId, generation }) => ({ cql: ADMIT, params: [id, deviceId, generation] })),
    ];
    return this.#partition.change("enrolment", queries, isMine, undefined);
  }

  async #admitted(id: string, deviceIds: readonly string[], signal: AbortSignal | undefined): Promise<ReadonlyMap<string, number>> {
    const query = { cql: SELECT_ADMITTED, params: [id, [...new Set(deviceIds)]] };
    const rows = await this.#partition.rows("enrolment", query, "serial_read", signal);
    return new Map(rows.map((row) => [text(row, "device_id"), integer(row, "generation")]));
  }
}

function settle(waiting: readonly Waiting[], outcome: UseOutcome): void {
  for (const { resolve } of waiting) resolve(outcome);
}

/** The first of each device: calls for one device that come at once take one use. */
function uniqueDevices(waiting: readonly Waiting[]): readonly Waiting[] {
  return [...new Map(waiting.toReversed().map((one) => [one.deviceId, one])).values()].reverse();
}
