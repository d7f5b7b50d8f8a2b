#!/usr/bin/env -S node --max-semi-space-size=4
// Plain JavaScript: a Node that is too old to run TypeScript says so here, and not by an error about syntax.
const oldest = 26;
if (Number(process.versions.node.split(".", 1)[0]) < oldest) {
  console.error(
    `nebula: Node ${oldest} or newer is needed, this is ${process.versions.node}; npm ci brings one, which npx nebula and npm start then use`,
  );
  process.exit(1);
}
await import("./nebula.ts");
