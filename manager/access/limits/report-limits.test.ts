import { strict as assert } from "node:assert";
import { ManualClock } from "../../../common/clock/manual-clock.ts";
import { isNebulaError, NebulaError } from "../../../common/errors/nebula-error.ts";
import type { EntityKey, EntityKind, StoredEntity } from "../../../common/storage/config-store.ts";
import { groupKey } from "../rights/rights.ts";
import { COUNTED_MS, createReportLimits } from "./report-limits.ts";

/** Limits of 3 devices per group over a store that counts how often it is asked; the groups shops and offices exist. */
function start(devices = 0) {
  const clock = new ManualClock();
  const asked: [string, number][] = [];
  const state = { devices, isAway: false, made: new Map<string, number>() };
  const reportStore = {
    async countWithoutToken(deviceGroup: string, most: number) {
      asked.push([deviceGroup, most]);
      if (state.isAway) throw new NebulaError("unavailable", "away");
      return Math.min(state.made.get(deviceGroup) ?? state.devices, most);
    },
    async groupsWithoutToken({ after, limit }: { after: string; limit: number }) {
      const names = ["shops", ...state.made.keys()].filter((name) => name > after);
      return names.sort().slice(0, limit);
    },
  };
  const stored = (name: string): StoredEntity => ({
    ...groupKey(name),
    revision: 1n,
    deleted: name === "closed",
    body: new Uint8Array(),
    action: "create",
    changedAt: 0,
    changedBy: "admin",
  });
  const isKnown = (name: string) => ["shops", "offices", "closed"].includes(name);
  const configStore = {
    get: async ({ name }: EntityKey) => (isKnown(name) ? stored(name) : undefined),
    getMany: async (_: EntityKind, names: readonly string[]) => new Map(names.filter(isKnown).map((name) => [name, stored(name)])),
  };
  return { clock, asked, state, limits: createReportLimits({ reportStore, configStore, mostDevices: 3, clock }) };
}

const isFull = (retryAfterMs: number) => (error: unknown) => isNebulaError(error, "resource_exhausted") && error.retryAfterMs === retryAfterMs;

describe("what reports may cost", () => {
  it("L1: a device reports 20 times in a row, then once in 2 s, and a refusal says when", async () => {
    const { limits, clock } = start();
    limits.assertRate("till", 20);
    assert.throws(() => limits.assertRate("till", 1), isFull(2000));
    limits.assertRate("kiosk", 1);
    await clock.advance(2000);
    limits.assertRate("till", 1);
  });

  it("L2: a group admits devices without a token up to its number, counted once a minute, those of the minute added", async () => {
    const { limits, clock, asked, state } = start(1);
    await Promise.all([limits.assertRoom("shops"), limits.assertRoom("shops")]);
    await clock.advance(20_000);
    await assert.rejects(limits.assertRoom("shops"), isFull(COUNTED_MS - 20_000));
    await limits.assertRoom("offices");
    assert.deepEqual(asked, [
      ["shops", 3],
      ["offices", 3],
    ]);
    state.devices = 2; // one of those that were taken in never reported
    await clock.advance(COUNTED_MS - 20_000);
    await limits.assertRoom("shops");
    await assert.rejects(limits.assertRoom("shops"), isFull(COUNTED_MS));
  });

  it("L2: all groups that do not exist, deleted ones among them, admit devices up to the number of one group", async () => {
    const { limits, clock, state } = start(3);
    state.made.set("none-1", 1);
    await limits.assertRoom("none-2");
    await limits.assertRoom("closed");
    for (const name of ["none-1", "none-3", "closed"]) await assert.rejects(limits.assertRoom(name), /does not exist, and all such together have 3/);
    // The rows that the store holds by then count, over any number of names.
    state.made.delete("none-1");
    for (let number = 0; number < 2000; number++) state.made.set(`none-${number}`, 0);
    state.made.set("none-1999", 2);
    await clock.advance(COUNTED_MS);
    await limits.assertRoom("none-3");
    await assert.rejects(limits.assertRoom("none-4"), isFull(COUNTED_MS));
  });

  it("L2: a count of very many groups that do not exist leaves others their turns", async () => {
    const { limits, state } = start();
    for (let number = 0; number < 2000; number++) state.made.set(`none-${number}`, 0);
    let turns = 0;
    let isOver = false;
    const counted = limits.assertRoom("none-3").finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      turns++;
    }
    await counted;
    assert.ok(turns >= 4, `${turns} turns`);
  });

  it("L2: a count of devices that failed is taken again", async () => {
    const { limits, state } = start(1);
    state.isAway = true;
    await assert.rejects(limits.assertRoom("shops"), /away/);
    state.isAway = false;
    await limits.assertRoom("shops");
  });
});
