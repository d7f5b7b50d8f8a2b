/**
 * Ends the process with a sentence where Node is older than the one that Nebula is tested with. Plain JavaScript, as all that comes before it has to be: an older
 * Node can't read TypeScript, and its own error would be about syntax.
 * @param {string} program
 * @param {string} [how] where to get one
 */
export function requireNode(program, how = `npm ci brings one, which npx ${program} and npm's scripts then use`) {
  const oldest = 26;
  if (Number(process.versions.node.split(".", 1)[0]) >= oldest) return;
  console.error(`${program}: Node ${oldest} or newer is needed, and this is ${process.versions.node} (${process.execPath}): ${how}`);
  process.exit(1);
}
