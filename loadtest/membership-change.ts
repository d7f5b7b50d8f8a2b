import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { systemClock } from "../common/clock/system-clock.ts";
import type { Member } from "../common/membership/membership.ts";
import { TestMembership } from "../manager/testing/test-membership.ts";
import { HandOver } from "../manager/watch/hand-over.ts";
import { createOwnership } from "../manager/watch/ownership.ts";
import { numberOption, runBench, wholeNumber } from "./command-line.ts";

const HELP = `npm run bench:membership -- [options]

How long a change of the membership holds the event loop of a shard: a shard leaves, and every watch is looked at again. A tenth of the groups is spread over all
shards. Goal: at most 100 ms.

  --streams N   watches of the shard (19900)
  --groups N    device_groups that they are of (100)
  --runs N      membership changes, of which the table shows the median and the worst (5)
  --shards A,B  how many shards there are, one row for each (3,10,50)
`;

type Stream = Readonly<{ group: Group; deviceId: string }>;
type Group = { readonly name: string; readonly spread: number; readonly streams: Set<Stream> };

await runBench(async () => {
  const { values } = parseArgs({
    options: {
      streams: numberOption("19900"),
      groups: numberOption("100"),
      runs: numberOption("5"),
      shards: numberOption("3,10,50"),
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const size = { streams: wholeNumber("streams", values.streams), groups: wholeNumber("groups", values.groups) };
  const runs = wholeNumber("runs", values.runs);
  console.log("shards  looked at  groups ranked  whole ms  event loop held, median ms  worst ms");
  for (const shards of values.shards.split(",").map((count) => wholeNumber("shards", count))) {
    const results: Change[] = [];
    for (let run = 0; run < runs; run++) results.push(await change(shards, size));
    const column = (of: (result: Change) => number) => results.map(of).toSorted((one, other) => one - other);
    const median = (of: (result: Change) => number) => column(of)[Math.floor(runs / 2)] ?? 0;
    const worst = column(({ heldMs }) => heldMs).at(-1) ?? 0;
    const cells = [shards, median(({ looked }) => looked), median(({ ranked }) => ranked), median(({ wholeMs }) => wholeMs).toFixed(0)];
    console.log([...cells, median(({ heldMs }) => heldMs).toFixed(1), worst.toFixed(1)].map((cell) => String(cell).padStart(8)).join("  "));
  }
});

type Change = Readonly<{ looked: number; ranked: number; wholeMs: number; heldMs: number }>;

/** One shard of several leaves. */
async function change(shards: number, size: { streams: number; groups: number }): Promise<Change> {
  const life = new AbortController();
  const members = Array.from(
    { length: shards },
    (_, index): Member => ({ name: `shard-${index}`, address: `shard-${index}:1`, boot: `boot-${index}` }),
  );
  const [self, ...others] = members;
  const membership = new TestMembership(self, others);
  const ownership = createOwnership({ membership, address: () => "", redirect: true, signal: life.signal });
  const groups = Array.from(
    { length: size.groups },
    (_, index): Group => ({ name: `group-${index}`, spread: index % 10 === 0 ? shards : 1, streams: new Set() }),
  );
  for (let index = 0; index < size.streams; index++) {
    const group = groups[index % groups.length];
    group?.streams.add({ group, deviceId: `device-${index}` });
  }
  let looked = 0;
  const done = Promise.withResolvers<void>();
  const target = {
    groups: () => groups,
    receiver: ({ group, deviceId }: Stream) => ownership.redirectTarget(group.name, group.spread, deviceId),
    greeted: () => true,
    redirect: () => {},
    end: () => true,
    members: () => shards,
    looked: (count: number) => {
      looked += count;
      if (looked >= size.streams) done.resolve();
    },
  };
  const handOver = new HandOver<Group, Stream>(systemClock, target, life.signal);
  ownership.onChange(() => handOver.checkAll());
  const held = monitorEventLoopDelay({ resolution: 1 });
  held.enable();
  await delay(50);
  held.reset();
  const began = performance.now();
  membership.set(others.slice(1));
  await done.promise;
  const wholeMs = performance.now() - began;
  await delay(20);
  held.disable();
  life.abort();
  return { looked, ranked: ownership.rankings, wholeMs, heldMs: held.max / 1e6 };
}
