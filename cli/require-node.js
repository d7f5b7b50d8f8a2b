/**
 * Ends the process with one sentence if Node is older than the version that Nebula is tested with. This file and all
 * that runs before it is plain JavaScript: an older Node can't read TypeScript, and its own error is about syntax.
 * @param {string} program
 * @param {string} [how] where to get one
 */
export function requireNode(program, how = `npm ci brings one, which npx ${program} and npm's scripts then use`) {
  const oldest = 26;
  if (Number(process.versions.node.split(".", 1)[0]) >= oldest) return;
  console.error(`${program}: Node ${oldest} or newer is needed, and this is ${process.versions.node} (${process.execPath}): ${how}`);
  process.exit(1);
}
