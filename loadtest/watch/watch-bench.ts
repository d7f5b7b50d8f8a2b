import { NebulaError } from "../../common/errors/nebula-error.ts";
import { type Medians, medianOfRuns } from "../measure/median-of-runs.ts";
import type { Run } from "../measure/run-figures.ts";
import { SUBJECT_NAMES, type WatchSubjectName } from "../measure/run-figures.ts";
import { TABLE_FIGURES } from "../measure/table.ts";
import { natsInstalled } from "../servers/nats.ts";
import { openHttp2 } from "../subjects/http2.ts";
import { openNats } from "../subjects/nats.ts";
import { openNebula } from "../subjects/nebula.ts";
import type { Subject, SubjectOptions } from "../subjects/subject.ts";
import { runStuck, type StuckOptions } from "./stuck-run.ts";
import { type RunOptions, runSubjects } from "./subject-run.ts";

const OPEN: Readonly<Record<WatchSubjectName, (options: SubjectOptions) => Promise<Subject>>> = {
  nebula: openNebula,
  http2: openHttp2,
  nats: openNats,
};

export type WatchBenchOptions = RunOptions &
  StuckOptions &
  Readonly<{
    runs: number;
    subjects: readonly WatchSubjectName[];
    subject: SubjectOptions;
  }>;

/** Returns the subjects that can be measured on this machine: nats-server is not everywhere. */
export function subjectsHere(): readonly WatchSubjectName[] {
  return SUBJECT_NAMES.filter((name) => name !== "nats" || natsInstalled());
}

/** Runs the subjects side by side, in slices that alternate, `runs` times; then the part with stuck devices, which is short, one subject after the other. */
export async function benchWatches(options: WatchBenchOptions): Promise<{ runs: Run[]; medians: Medians[] }> {
  const runs: Run[] = [];
  for (let run = 0; run < options.runs; run++) {
    const fleets = await runSubjects(
      options.subjects.map((subject) => OPEN[subject]),
      options.subject,
      options,
    );
    for (const [index, subject] of options.subjects.entries()) {
      const fleet = fleets[index];
      if (fleet === undefined) throw new NebulaError("internal", `no figures of ${subject}`);
      const stuck = await runStuck(OPEN[subject], options.subject, options);
      runs.push({ subject, figures: { ...fleet, ...stuck } });
    }
  }
  return { runs, medians: medianOfRuns(runs, TABLE_FIGURES) };
}
