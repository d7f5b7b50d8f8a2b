#!/usr/bin/env node
import { requireNode } from "./require-node.js";

requireNode("nebulactl");
// What was compiled once is kept for the next command. An import would end an older Node, which has no such function, before its sentence.
(await import("node:module")).enableCompileCache();
await import("./nebulactl.ts");
