#!/usr/bin/env -S node --max-semi-space-size=16
import { requireNode } from "./require-node.js";

requireNode("nebula");
await import("./nebula.ts");
