#!/usr/bin/env node
import { requireNode } from "./require-node.js";

requireNode("nebulactl");
await import("./nebulactl.ts");
