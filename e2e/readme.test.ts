import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { markedCommands } from "../common/testing/doc-commands.ts";
import { requireCommand } from "../common/testing/require-command.ts";
import { Server } from "./harness/server.ts";

/** `<!-- run -->`: has to work; `<!-- run: refused -->`: has to be refused. */
const MARKS = ["run", "run: refused"];
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");

describe("the README's examples, in its order, as printed but for the ports", function () {
  this.timeout(60_000);
  let server: Server;
  let folder: string;
  before(async function () {
    requireCommand(this, "curl", "Debian: curl");
    server = await Server.start();
    folder = mkdtempSync(join(tmpdir(), "nebula-e2e-readme-"));
    symlinkSync(server.dataDir, join(folder, "data"));
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  const blocks = markedCommands(README)
    .filter(({ mark }) => MARKS.includes(mark))
    .map(({ mark, commands }) => ({ isRefused: mark === "run: refused", script: commands }));
  for (const [i, { isRefused, script }] of blocks.entries()) {
    const [summary = ""] = /nebula\.v1\.\w+\/\w+|api\/v2\/[\w/]+|grpcurl/.exec(script) ?? [];
    it(`${i + 1}. ${summary}${isRefused ? ", refused" : ""}`, function () {
      if (script.includes("grpcurl")) requireCommand(this, "grpcurl", "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest");
      const here = script.replaceAll("127.0.0.1:8080", `127.0.0.1:${server.httpPort}`).replaceAll("127.0.0.1:50051", `127.0.0.1:${server.grpcPort}`);
      const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", here], { cwd: folder, encoding: "utf8" });
      assert.equal(status, 0, stdout + stderr);
      assert.notEqual(stdout.trim(), "");
      assert.equal(/"code":\s*"/.test(stdout), isRefused, stdout);
    });
  }

  it("the README has examples of each sort", () => {
    assert.ok(blocks.some(({ script }) => script.includes("curl ")));
    assert.ok(blocks.some(({ script }) => script.includes("grpcurl ")));
    assert.equal(blocks.length, README.split("<!-- run").length - 1, "a marker stands right above a ```sh block");
  });
});
