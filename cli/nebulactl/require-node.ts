import packageJson from "../../package.json" with { type: "json" };

/** Ends the process with a sentence where Node is older than the one that Nebula is tested with; its own error would be about syntax. */
export function requireNode(program: string): void {
  const needed = packageJson.dependencies.node;
  if (Number.parseInt(process.versions.node, 10) >= Number.parseInt(needed, 10)) return;
  console.error(
    `error: ${program} needs Node ${needed} or newer, and this is ${process.version} (${process.execPath}): npx ${program} takes the right one`,
  );
  process.exit(1);
}
