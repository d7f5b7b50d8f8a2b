import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isOnCluster } from "../common/testing/backends.ts";
import { commandsBelow, markedCommands } from "../common/testing/doc-commands.ts";
import { eventually } from "../common/testing/eventually.ts";
import { Server } from "./harness/server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TENANTS = readFileSync(join(ROOT, "docs/tenants.md"), "utf8");
const OPERATING = readFileSync(join(ROOT, "docs/operating.md"), "utf8");

/** `run`: has to succeed; `run: acme alone`: each line prints what is of acme and nothing of the other; `run: refused`: each line is refused. */
const MARKS = ["run", "run: acme alone", "run: refused"];

/** The token that `users create` and `users refresh` print last, but for warnings. */
const TOKEN_AT_END = /[\w-]{43}(?=\s*(?:warning: .*\s*)*$)/;

describe("the commands of docs/tenants.md and docs/operating.md, as printed but for the port", function () {
  this.timeout(180_000);
  let server: Server;
  let folder = "";
  before(async () => {
    server = await Server.start();
    folder = mkdtempSync(join(tmpdir(), "nebula-e2e-operating-"));
    mkdirSync(join(folder, "bin"));
    writeFileSync(join(folder, "bin/nebulactl"), `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "cli/nebulactl.js")}" "$@"\n`);
    chmodSync(join(folder, "bin/nebulactl"), 0o755);
    writeFileSync(join(folder, "password"), server.password);
    const login = runs("nebulactl login --server http://127.0.0.1:8080 --username admin --password-file password");
    assert.equal(login.status, 0, login.said);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    if (folder !== "") rmSync(folder, { recursive: true });
  });

  function runs(script: string): Readonly<{ status: number | null; said: string }> {
    const settings = Object.entries(process.env).filter(([name]) => !name.startsWith("NEBULA_"));
    const env = { ...Object.fromEntries(settings), PATH: `${join(folder, "bin")}:${process.env.PATH}`, HOME: folder };
    const here = script.replaceAll("127.0.0.1:8080", `127.0.0.1:${server.httpPort}`);
    const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", here], { cwd: folder, encoding: "utf8", env, timeout: 60_000 });
    return { status, said: stdout + stderr };
  }

  for (const [index, { mark, commands }] of markedCommands(TENANTS).entries()) {
    it(`${index + 1}. the commands of docs/tenants.md: ${mark}`, () => {
      for (const script of mark === "run" ? [commands] : commands.trim().split("\n")) {
        const { status, said } = runs(script);
        assert.equal(status, mark === "run: refused" ? 1 : 0, `${script}\n${said}`);
        if (mark === "run: acme alone") assert.ok(said.includes("acme-") && !said.includes("globex"), `${script}\n${said}`);
        if (mark === "run: refused") assert.match(said, /is not permitted|may not|needs? (an )?admin|no rights|permission/i, script);
      }
    });
  }

  it("the commands of docs/tenants.md are of each kind, and each marker stands right above its commands", () => {
    const marks = markedCommands(TENANTS).map(({ mark }) => mark);
    assert.deepEqual([...new Set(marks)].sort(), [...MARKS].sort());
    assert.equal(marks.length, TENANTS.split("<!-- run").length - 1);
  });

  it("the commands of docs/operating.md replace a user's password and token: the new ones are valid, the old ones are not", async () => {
    const created = runs(
      "echo 'the old password' > old-password && nebulactl users create ann --password-file old-password && nebulactl users create ci",
    );
    assert.equal(created.status, 0, created.said);
    const [token = ""] = TOKEN_AT_END.exec(created.said) ?? [];
    writeFileSync(join(folder, "old-token"), token);
    const isLoggedIn = (flags: string) => runs(`nebulactl --server http://127.0.0.1:8080 apps list ${flags}`).status === 0;
    assert.ok(isLoggedIn("--username ann --password-file old-password") && isLoggedIn("--token-file old-token"), created.said);

    const rotated = runs(commandsBelow(OPERATING, "run: credentials of users"));
    assert.equal(rotated.status, 0, rotated.said);
    assert.ok(isLoggedIn("--username ann --password-file ann-password"));
    const isOver = () => !isLoggedIn("--username ann --password-file old-password") && !isLoggedIn("--token-file old-token");
    await eventually(isOver, { timeoutMs: 30_000, everyMs: 100 });
    const [next = ""] = TOKEN_AT_END.exec(rotated.said) ?? [];
    writeFileSync(join(folder, "next-token"), next);
    assert.ok(isLoggedIn("--token-file next-token"), rotated.said);
  });

  if (isOnCluster()) return; // its admin's password is in no file of its own

  it("the commands of docs/operating.md replace the admin's password of a server on SQLite, which counts after a restart", async () => {
    const replaced = runs(commandsBelow(OPERATING, "run: the admin's password", { "data/": `${server.dataDir}/` }));
    assert.equal(replaced.status, 0, replaced.said);
    assert.equal(runs("nebulactl apps list").status, 0, "the old one counts until then");
    await server.stop();
    await server.startAgain();
    assert.equal(runs("nebulactl apps list").status, 1);
    const login = runs(`nebulactl login --server http://127.0.0.1:8080 --username admin --password-file ${server.dataDir}/admin-password`);
    assert.equal(login.status, 0, login.said);
  });
});
