#!/usr/bin/env node
import { requireNode } from "./nebulactl/require-node.ts";

requireNode("nebulactl");
// Only now: an older Node could not even read the rest.
const { main } = await import("./nebulactl/main.ts");
await main();
