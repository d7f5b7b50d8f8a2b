#!/usr/bin/env -S node --max-semi-space-size=16
import { exitOnUnhandledError } from "../common/errors/unhandled-error.ts";
import { keepGarbageYoung } from "../common/young-garbage.ts";
import { endProcess } from "./nebula/command/stop-signals.ts";
import { COMMANDS } from "./nebula/commands.ts";
import { runNebula } from "./nebula/main.ts";
import { processIo, unhandledErrorReport } from "./nebula/process-io.ts";

keepGarbageYoung();
const args = process.argv.slice(2);
exitOnUnhandledError(unhandledErrorReport(COMMANDS, args[0]));
const io = processIo();
endProcess(await runNebula(COMMANDS, args, io), io.complain);
