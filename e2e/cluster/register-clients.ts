import { strict as assert } from "node:assert";
import { setTimeout as delay } from "node:timers/promises";
import type { ConfigStore } from "../../common/storage/config-store.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { type Operation, violationsOf } from "../harness/linearizability.ts";
import { type AppDoor, historyOf } from "./app-door.ts";

export type ClientsOptions = Readonly<{
  doors: readonly AppDoor[];
  apps: readonly string[];
  /** At most 8 for one app. */
  clientsPerApp: number;
  /** Of all clients together, those that were answered. */
  operations: number;
  /** The clients go on until this settles, also when they have that number of answers. */
  until?: Promise<unknown>;
  /** The mean of how long a client waits between two calls, milliseconds. */
  pauseMs: number;
}>;

export type ClientsSeen = Readonly<{
  operations: ReadonlyMap<string, readonly Operation[]>;
  /** Reads without an answer: they say nothing. */
  unanswered: number;
}>;

/**
 * Clients that read and compare-and-set apps as if they were registers, each through one door after the other. Resolves when all calls are done, with what was
 * answered; times are of this process's monotonic clock, milliseconds.
 */
export async function runClients({ doors, apps, clientsPerApp, operations, until, pauseMs }: ClientsOptions): Promise<ClientsSeen> {
  let left = operations;
  let goesOn = until !== undefined;
  const end = () => {
    goesOn = false;
  };
  until?.then(end, end);
  let unanswered = 0;
  const seen = new Map<string, Operation[]>(apps.map((app) => [app, []]));
  const run = async (app: string, index: number) => {
    const client = `${app}/${index}`;
    let known: bigint | undefined;
    for (let turn = 0; left > 0 || goesOn; turn++) {
      const door = doors[(index + turn) % doors.length];
      if (door === undefined) throw new Error("clients need a door");
      const begin = performance.now();
      if (known === undefined || Math.random() < 0.3) {
        const version = await door.read(app).catch(() => undefined);
        if (version === undefined) unanswered++;
        else {
          left--;
          seen.get(app)?.push({ client: `${client} by ${door.name}`, kind: "read", begin, end: performance.now(), ...version });
          known = version.revision;
        }
      } else {
        const writer = `${client}/${turn}`;
        const outcome = await door.change(app, known, writer);
        const call = { client: `${client} by ${door.name}`, begin, end: performance.now(), writer, expected: known };
        seen.get(app)?.push(outcome.kind === "written" ? { ...call, kind: "written", revision: outcome.revision } : { ...call, kind: outcome.kind });
        if (outcome.kind !== "unknown") left--;
        known = outcome.kind === "written" ? outcome.revision : undefined;
      }
      await delay(2 * pauseMs * Math.random());
    }
  };
  await Promise.all(apps.flatMap((app) => Array.from({ length: clientsPerApp }, (_, index) => run(app, index))));
  return { operations: seen, unanswered };
}

/** Every entity by itself; and that enough was done, and some of it disturbed, for that to mean something. */
export async function assertLinearizable(store: Pick<ConfigStore, "history">, { operations, unanswered }: ClientsSeen): Promise<void> {
  const all = [...operations.values()].flat();
  const count = (kind: string) => all.filter((operation) => operation.kind === kind).length;
  const counts = { read: count("read"), written: count("written"), refused: count("refused"), unknown: count("unknown"), unanswered };
  console.log("     ", JSON.stringify(counts));
  for (const [app, calls] of operations) {
    const history = await eventually(() => historyOf(store, app), { timeoutMs: 30_000, everyMs: 500 }); // the store may have come back just now
    assert.deepEqual(violationsOf(history, calls), [], app);
  }
  const answered = all.length - counts.unknown; // how many are not depends on how long a server was away
  assert.ok(counts.written >= answered / 20 && counts.refused >= answered / 50, JSON.stringify(counts));
  assert.ok(counts.unknown + unanswered > 0, "no call was disturbed");
}
