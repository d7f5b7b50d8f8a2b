import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestServers } from "../../common/testing/backends.ts";
import { markedCommands } from "../../common/testing/doc-commands.ts";
import { endWithTests } from "../../common/testing/end-with-tests.ts";
import { eventually } from "../../common/testing/eventually.ts";
import { freePort } from "../../common/testing/free-port.ts";
import { requireCommand } from "../../common/testing/require-command.ts";
import { cassandraUrl, freshKeyspace, freshTopic, kafkaUrl, redisUrl, requireServers } from "../../common/testing/servers.ts";
import { dropKeyspace } from "../../common/testing/test-keyspace.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = readFileSync(join(ROOT, "docs/cluster.md"), "utf8");

/** `<!-- run -->`: has to succeed; `run: processes`: each line is one, and runs on; `run: soon`: has to succeed within a while. */
const MARKS = ["run", "run: processes", "run: soon"];

/** The servers as the page names them. */
const SERVERS = { store: "cassandra://127.0.0.1:9042/nebula", redis: "redis://127.0.0.1:6379", bus: "kafka://127.0.0.1:9092/nebula-reports" };

/** The ports of Nebula on the page. */
const PORTS = ["50051", "50052", "9461", "9462", "9463", "9464", "8080"];

/** How long one block of commands may take; `soon` is how long until it succeeds, tries included. */
const COMMAND_MS = 60_000;
const SOON_MS = 90_000;

describe("the commands of docs/cluster.md, in its order, as printed but for servers and ports", function () {
  this.timeout(180_000);
  const stack = new AsyncDisposableStack();
  const outputs: string[] = [];
  let folder: string;
  let written: (script: string) => string;
  let environment: Readonly<Record<string, string | undefined>>;

  before(async function () {
    requireCommand(this, "curl", "Debian: curl");
    const { cassandra, redis, kafka }: TestServers = await requireServers(this);
    folder = mkdtempSync(join(tmpdir(), "nebula-e2e-cluster-docs-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    const bus = `${kafkaUrl(kafka, freshTopic())}?partitions=3`;
    const store = cassandraUrl(cassandra, freshKeyspace());
    stack.defer(() => dropKeyspace(store));
    const bin = join(folder, "bin");
    mkdirSync(bin);
    for (const program of ["nebula", "nebulactl"]) {
      writeFileSync(join(bin, program), `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "cli", program)}.js" "$@"\n`);
      chmodSync(join(bin, program), 0o755);
    }
    const ownSettings = Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_"));
    environment = { ...Object.fromEntries(ownSettings), PATH: `${bin}:${process.env.PATH}`, HOME: folder };
    const ports = new Map<string, number>();
    for (const port of PORTS) ports.set(port, await freePort());
    written = (script) =>
      script
        .replaceAll(SERVERS.store, store)
        .replaceAll(SERVERS.redis, redisUrl(redis))
        .replaceAll(SERVERS.bus, bus)
        .replaceAll(/\b(\d{4,5})\b/g, (port) => String(ports.get(port) ?? port))
        .replaceAll("nebula gateway", `nebula gateway --http-listen 127.0.0.1:${ports.get("8080")}`);
  });
  after(() => stack.disposeAsync());

  function run(script: string): Readonly<{ status: number | null; said: string }> {
    const options = { cwd: folder, encoding: "utf8", env: environment, timeout: COMMAND_MS } as const;
    const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", script], options);
    return { status, said: stdout + stderr };
  }

  function start(command: string): void {
    const child = endWithTests(spawn("bash", ["-c", `exec ${command}`], { cwd: folder, env: environment, stdio: ["ignore", "pipe", "pipe"] }));
    const at = outputs.push(`${command}\n`) - 1;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (outputs[at] += text));
    stack.defer(() => void child.kill("SIGKILL"));
  }

  const blocks = markedCommands(PAGE).filter(({ mark }) => MARKS.includes(mark));
  for (const [i, { mark, commands: script }] of blocks.entries()) {
    it(`${i + 1}. ${script.split("\n", 1)[0]}`, async () => {
      const here = written(script);
      if (mark === "run: processes") {
        for (const command of here.trim().split("\n")) start(command);
        return;
      }
      let last = run(here);
      if (mark === "run: soon")
        await eventually(
          () => {
            if (last.status !== 0) last = run(here);
            return last.status === 0;
          },
          { timeoutMs: SOON_MS, everyMs: 500 },
        ).catch(() => {});
      assert.equal(last.status, 0, [last.said, ...outputs.map((text) => text.slice(-3000))].join("\n"));
    });
  }

  it("the commands of docs/cluster.md are of each kind, and every part that the page names is started", () => {
    assert.deepEqual([...new Set(blocks.map(({ mark }) => mark))].sort(), MARKS);
    assert.equal(blocks.length, PAGE.split("<!-- run").length - 1, "a marker stands right above a ```sh block");
    for (const part of ["manager", "reporter", "gateway", "worker"])
      assert.ok(
        outputs.some((text) => text.startsWith(`nebula ${part} `)),
        part,
      );
  });
});
