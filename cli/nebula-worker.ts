#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=1 --optimize-for-size --no-opt --no-maglev
import { exitOnUnhandledError } from "../common/errors/unhandled-error.ts";
import { runNebula } from "./nebula/main.ts";
import { processIo, unhandledErrorReport } from "./nebula/process-io.ts";
import { WORKER_COMMAND } from "./nebula/worker-command.ts";

exitOnUnhandledError(unhandledErrorReport([WORKER_COMMAND], WORKER_COMMAND.name));
// The program of a device's image: `nebula worker` and nothing else. The word may be left out.
const args = process.argv.slice(2);
const whole = args[0] === WORKER_COMMAND.name || args[0] === "--version";
process.exitCode = await runNebula([WORKER_COMMAND], whole ? args : [WORKER_COMMAND.name, ...args], processIo());
