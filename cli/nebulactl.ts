#!/usr/bin/env node
import { NebulaError } from "../common/errors/nebula-error.ts";
import { commands } from "./nebulactl/commands.ts";
import { processIo } from "./nebulactl/process-io.ts";
import { runNebulactl } from "./nebulactl/run.ts";

// A reader that has seen enough (`nebulactl apps list | head`) closes the pipe: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => interrupted.abort(new NebulaError("cancelled", "interrupted")));
}

process.exitCode = await runNebulactl(commands, process.argv.slice(2), processIo(), interrupted.signal);
