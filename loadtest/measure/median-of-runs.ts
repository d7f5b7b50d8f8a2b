import { median } from "./quantiles.ts";
import type { FigureName, Run, SubjectName } from "./run-figures.ts";

/** The median of each figure of one subject; figures that it has not are not there. */
export type Medians = Readonly<{ subject: SubjectName; figures: ReadonlyMap<FigureName, number> }>;

/** Per subject, in the order of their first runs, the median of each figure over its runs. */
export function medianOfRuns(runs: readonly Run[], names: readonly FigureName[]): Medians[] {
  const subjects = [...new Set(runs.map(({ subject }) => subject))];
  return subjects.map((subject) => {
    const own = runs.filter((run) => run.subject === subject);
    const figures = new Map<FigureName, number>();
    for (const name of names) {
      const values = own.map((run) => run.figures[name]).filter((value) => value !== undefined);
      if (values.length > 0) figures.set(name, median(values));
    }
    return { subject, figures };
  });
}
