#!/usr/bin/env node
import { requireNode } from "./require-node.js";

requireNode("nebulactl");
// Compiled code is kept for the next command. Imported here, either would end an older Node before its
// sentence.
(await import("node:module")).enableCompileCache();
(await import("./quick-imports.js")).findImportsByName();
await import("./nebulactl.ts");
