import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type Medians, medianOfRuns } from "../measure/median-of-runs.ts";
import { median } from "../measure/quantiles.ts";
import type { FigureName, Run } from "../measure/run-figures.ts";
import { ratio, TABLE_FIGURES } from "../measure/table.ts";
import type { Processors } from "../processes/processors.ts";
import { createBenchKeyspace } from "../servers/bench-keyspace.ts";
import { openEmbedded, openShards } from "../subjects/shards.ts";
import { type RunOptions, runSubjects } from "../watch/subject-run.ts";
import { type HandOverFigures, runHandOvers } from "./hand-over-run.ts";

export type ShardsBenchOptions = RunOptions &
  Readonly<{
    /** host:port */
    cassandra: string;
    redis: string;
    runs: number;
    payloadBytes: number;
    /** Devices that move when a shard joins or drains, and how often one does. */
    moving: number;
    handOvers: number;
    steadyMs?: number;
    serverProcessors: Processors;
  }>;

export type ShardsBench = Readonly<{ runs: readonly Run[]; medians: readonly Medians[]; handOvers: readonly HandOverFigures[] }>;

/** Two shards beside `nebula server`, in slices that alternate, `runs` times; then the hand-overs. */
export async function benchShards(options: ShardsBenchOptions): Promise<ShardsBench> {
  const { cassandra, redis, payloadBytes, serverProcessors, signal, say } = options;
  await using keyspace = await createBenchKeyspace({ address: cassandra, signal, say });
  const backends = { NEBULA_STORE: keyspace.url, NEBULA_REPORTS: keyspace.url, NEBULA_REDIS: redis };
  const runs: Run[] = [];
  for (let run = 0; run < options.runs; run++) {
    const group = `bench-${run}`; // the keyspace keeps those of the runs before
    const opens = [openEmbedded, (subject: Parameters<typeof openShards>[0]) => openShards(subject, backends, group)];
    const [embedded, shards] = await runSubjects(opens, { payloadBytes, processors: serverProcessors, signal }, options);
    if (embedded === undefined || shards === undefined) throw new NebulaError("internal", "a subject has no figures");
    runs.push({ subject: "embedded", figures: embedded }, { subject: "shards", figures: shards });
  }
  const handOvers = options.handOvers === 0 ? [] : await runHandOvers({ ...options, backends, devices: options.moving, runs: options.handOvers });
  return { runs, medians: medianOfRuns(runs, TABLE_FIGURES), handOvers };
}

/** The most that a figure should be. */
export type Goal = Readonly<{ what: string; value: number; limit: number; unit: string }>;

/** The goals of the bench, each with what was measured; without those of a part that was left out or took too little time to measure. */
export function goalsOf({ medians, handOvers }: Pick<ShardsBench, "medians" | "handOvers">): readonly Goal[] {
  const of = (subject: "embedded" | "shards", figure: FigureName) => medians.find((each) => each.subject === subject)?.figures.get(figure);
  const timesEmbedded = (what: string, figure: FigureName): Goal => {
    return { what, value: ratio(of("shards", figure), of("embedded", figure)) ?? Number.NaN, limit: 1.1, unit: "times embedded" };
  };
  const handOver = (kind: HandOverFigures["kind"], what: string): Goal[] => {
    const own = handOvers.filter((each) => each.kind === kind);
    const tookMs = median(own.map((each) => each.tookMs / each.pacedMs));
    const gapMs = median(own.map((each) => each.gapP99Ms));
    return [
      { what: `hand-over to ${what}`, value: tookMs, limit: 1.5, unit: "times the paced time" },
      { what: "  p99 without a watch", value: gapMs, limit: 5000, unit: "ms" },
    ];
  };
  const goals = [
    timesEmbedded("CPU per push and device", "cpuUsPerPush"),
    timesEmbedded("CPU per new watch", "cpuUsPerWatch"),
    timesEmbedded("memory per device", "bytesPerDeviceAfterPushes"),
    {
      what: "from the answer of one shard to the last device of another",
      value: (of("shards", "lastDeviceMs") ?? Number.NaN) - (of("embedded", "lastDeviceMs") ?? Number.NaN),
      limit: 50,
      unit: "ms above embedded",
    },
    ...handOver("join", "a shard that joins"),
    ...handOver("drain", "the others from one that drains"),
  ];
  return goals.filter(({ value }) => !Number.isNaN(value));
}
