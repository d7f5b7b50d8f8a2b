import { writeFileSync } from "node:fs";
import { loadAll } from "./nebulactl/command/load-commands.ts";
import { commandReference } from "./nebulactl/command/reference.ts";
import { commands } from "./nebulactl/commands.ts";

// npm run docs:nebulactl
writeFileSync(new URL("../docs/nebulactl.md", import.meta.url), commandReference(await loadAll(commands)));
