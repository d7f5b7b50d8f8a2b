#!/usr/bin/env -S MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_MMAP_THRESHOLD_=65536 node --max-semi-space-size=1 --lite-mode
import { exitOnUnhandledError } from "../common/errors/unhandled-error.ts";
import { endProcess } from "./nebula/command/stop-signals.ts";
import { WORKER_COMMAND } from "./nebula/commands/worker/worker-command.ts";
import { runNebula } from "./nebula/main.ts";
import { processIo, unhandledErrorReport } from "./nebula/process-io.ts";

exitOnUnhandledError(unhandledErrorReport([WORKER_COMMAND], WORKER_COMMAND.name));
// The program of a device's image: `nebula worker` and nothing else. The word may be left out.
const args = process.argv.slice(2);
const whole = args[0] === WORKER_COMMAND.name || args[0] === "--version";
const io = processIo();
endProcess(await runNebula([WORKER_COMMAND], whole ? args : [WORKER_COMMAND.name, ...args], io), io.complain);
