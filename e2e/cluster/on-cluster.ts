import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { TestServers } from "../../common/testing/backends.ts";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { ADDRESS_VARIABLES } from "../../common/testing/servers.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MOCHA = createRequire(import.meta.url).resolve("mocha/bin/mocha.js");

/** For tests that state no limit of their own: a call to a cluster takes longer than one to a process with its own files. */
const TEST_LIMIT_MS = 60_000;

/** How long a run's process may take to end after its tests, and after a signal. */
const END_LIMIT_MS = 20_000;

/** The outcome of a file of tests: the titles of those that passed, were skipped, and failed, these with their errors. */
export type RunOnCluster = Readonly<{ passed: readonly string[]; skipped: readonly string[]; failed: readonly string[] }>;

export type RunOnClusterOptions = Readonly<{
  servers: TestServers;
  /** Within which the tests are over. */
  limitMs: number;
  /** Of the tests, those whose title has it. */
  only?: RegExp | undefined;
}>;

/** Runs the tests of a file as they are, in a process of their own in which each server that a suite starts is a cluster. */
export async function runOnCluster(file: string, { servers, limitMs, only }: RunOnClusterOptions): Promise<RunOnCluster> {
  const folder = await mkdtemp(join(tmpdir(), "nebula-e2e-on-cluster-"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const result = join(folder, "result.json");
  const options = ["--reporter", "json", "--reporter-option", `output=${result}`, "--timeout", `${TEST_LIMIT_MS}`];
  const grep = only === undefined ? [] : ["--grep", only.source];
  const addresses = {
    [ADDRESS_VARIABLES.cassandra]: servers.cassandra.address,
    [ADDRESS_VARIABLES.redis]: servers.redis.address,
    [ADDRESS_VARIABLES.kafka]: servers.kafka.address,
  };
  const env = { ...process.env, ...addresses, NEBULA_TEST_ON: "cluster" };
  const child = endWithTests(
    spawn(process.execPath, [MOCHA, ...options, ...grep, file], { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] }),
    "SIGTERM",
  );
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed = (printed + text).slice(-20_000);
    });
  }
  const ended = once(child, "exit").then(() => true);
  const endsInTime = () => Promise.race([ended, delay(END_LIMIT_MS, false, { ref: false })]);
  stack.defer(async () => {
    child.kill("SIGTERM"); // it ends the processes of its tests
    if (!(await endsInTime())) child.kill("SIGKILL");
  });
  await eventually(() => child.exitCode !== null || child.signalCode !== null || existsSync(result), { timeoutMs: limitMs, everyMs: 100 }).catch(
    (cause) => Promise.reject(new Error(`${file} takes longer than ${limitMs / 1000} s; it printed:\n${printed}`, { cause })),
  );
  const isOver = await endsInTime();
  const { passes, pending, failures } = JSON.parse(await readFile(result, "utf8").catch((cause) => Promise.reject(new Error(printed, { cause }))));
  return {
    passed: titlesOf(passes),
    skipped: titlesOf(pending),
    failed: (isOver ? failures : [...failures, { fullTitle: file, err: { message: "its process does not end after the last test" } }]).map(
      (test: unknown) => `${Object(test).fullTitle}\n${Object(test).err.stack ?? Object(test).err.message}`,
    ),
  };
}

function titlesOf(tests: readonly unknown[]): string[] {
  return tests.map((test) => String(Object(test).fullTitle));
}
