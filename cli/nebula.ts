#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { COMMANDS } from "./nebula/commands.ts";
import { runNebula } from "./nebula/main.ts";

// A log collector that goes away takes no server along.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

process.exitCode = await runNebula(COMMANDS, process.argv.slice(2), {
  env: process.env,
  readFile: (path) => readFileSync(path, "utf8"),
  write: (text) => void process.stdout.write(text),
  print: (line) => void process.stdout.write(`${line}\n`),
  complain: (line) => void process.stderr.write(`${line}\n`),
  terminal: process.stdout.isTTY === true,
});
