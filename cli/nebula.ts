#!/usr/bin/env -S node --max-semi-space-size=4
import { COMMANDS } from "./nebula/commands.ts";
import { runNebula } from "./nebula/main.ts";
import { processIo } from "./nebula/process-io.ts";

process.exitCode = await runNebula(COMMANDS, process.argv.slice(2), processIo());
