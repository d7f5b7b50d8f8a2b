import { spawnSync } from "node:child_process";

/** Skips the suite where a command is missing; under CI=true that is a failure. */
export function requireCommand(context: Mocha.Context, command: string, hint: string): void {
  if (spawnSync(command, ["--version"]).error !== undefined) skipWithout(context, command, hint);
}

/** Returns the command for compose files: `docker compose`, or docker-compose without the plugin. Without both, skips the suite; fails under CI. */
export function requireCompose(context: Mocha.Context): readonly [program: string, ...args: string[]] {
  const commands: readonly (readonly [string, ...string[]])[] = [["docker", "compose"], ["docker-compose"]];
  const found = commands.find(([program, ...args]) => spawnSync(program, [...args, "version"]).status === 0);
  return found ?? skipWithout(context, "docker compose", "Debian: docker-compose");
}

function skipWithout(context: Mocha.Context, command: string, hint: string): never {
  if (process.env.CI === "true") throw new Error(`${command} is missing: ${hint}`);
  console.log(`    (skipped: ${command} is missing: ${hint})`);
  return context.skip();
}
