import { spawnSync } from "node:child_process";

/** Skips the suite where a command is missing; under CI=true that is a failure. */
export function requireCommand(context: Mocha.Context, command: string, hint: string): void {
  if (spawnSync(command, ["--version"]).error === undefined) return;
  if (process.env.CI === "true") throw new Error(`${command} is missing: ${hint}`);
  console.log(`    (skipped: ${command} is missing: ${hint})`);
  context.skip();
}
