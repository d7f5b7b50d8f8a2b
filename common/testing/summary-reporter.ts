import Mocha, { type MochaOptions, type Runner } from "mocha";

const { EVENT_RUN_END, EVENT_TEST_PENDING } = Mocha.Runner.constants;

/** Mocha's spec reporter, then what was skipped, and one last line with the counts. */
class SummaryReporter extends Mocha.reporters.Spec {
  constructor(runner: Runner, options?: MochaOptions) {
    super(runner, options);
    const skipped: string[] = [];
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test.fullTitle()));
    runner.once(EVENT_RUN_END, () => {
      const { passes, failures } = runner.stats ?? { passes: 0, failures: 1 };
      if (skipped.length > 0) console.log(`Skipped here:\n${skipped.map((title) => `  - ${title}`).join("\n")}\n`);
      console.log(`${passes} passed, ${failures} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
    });
  }
}

// biome-ignore lint/style/noDefaultExport: mocha loads a reporter by its default export
export { SummaryReporter as default };
