import Mocha, { type MochaOptions, type Runner } from "mocha";

const { EVENT_RUN_END, EVENT_TEST_PENDING } = Mocha.Runner.constants;

/** The time for things that a test left open to end, milliseconds: then the run ends, and names them. */
const LEFT_OPEN_MS = Number(process.env.NEBULA_TEST_LEFT_OPEN_MS ?? 120_000);

/** Mocha's spec reporter, then what was skipped, and one last line with the counts. */
class SummaryReporter extends Mocha.reporters.Spec {
  constructor(runner: Runner, options?: MochaOptions) {
    super(runner, options);
    const skipped: string[] = [];
    runner.on(EVENT_TEST_PENDING, (test) => skipped.push(test.fullTitle()));
    runner.once(EVENT_RUN_END, () => {
      const { passes, failures } = runner.stats ?? { passes: 0, failures: 1 };
      if (skipped.length > 0) console.log(`Skipped here:\n${skipped.map((title) => `  - ${title}`).join("\n")}\n`);
      setTimeout(() => {
        const what = [...new Set(process.getActiveResourcesInfo())].join(", ");
        console.error(`the tests have ended, and something that they left open keeps the process: ${what}`);
        process.on("exit", () => {
          process.exitCode = 1; // after mocha, which has the count of failures say it
        });
        process.exit();
      }, LEFT_OPEN_MS).unref();
      console.log(`${passes} passed, ${failures} failed${skipped.length > 0 ? `, ${skipped.length} skipped` : ""}`);
    });
  }
}

// biome-ignore lint/style/noDefaultExport: mocha loads a reporter by its default export
export { SummaryReporter as default };
