import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const ENTRY = fileURLToPath(new URL("nebulactl.js", import.meta.url));

async function run(args: readonly string[]) {
  const child = spawn(process.execPath, [ENTRY, ...args], {
    env: { ...process.env, HOME: "/nonexistent", NEBULA_SERVER: "http://127.0.0.1:1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { code, out, err };
}

describe("the nebulactl program", () => {
  it("ends by itself, with 0 where all went well and 1 where not", async () => {
    const version = await run(["--version"]);
    assert.equal(version.code, 0);
    assert.match(version.out, /^nebulactl \d+\.\d+\.\d+\n$/);
    const refused = await run(["apps", "list"]);
    assert.deepEqual([refused.code, refused.out], [1, ""]);
    assert.match(refused.err, /^error: nothing answers at http:\/\/127\.0\.0\.1:1 \(from NEBULA_SERVER\)/);
    assert.equal((await run(["apps", "lst"])).code, 1);
  });

  it("takes a reader that goes away for no error", async () => {
    const child = spawn(process.execPath, [ENTRY, "apps", "create", "--help"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
    assert.deepEqual([code, err], [0, ""]);
  });
});
