import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
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
  it("nebulactl ends by itself, with 0 after success and 1 after a failure", async () => {
    const version = await run(["--version"]);
    assert.equal(version.code, 0);
    assert.match(version.out, /^nebulactl \d+\.\d+\.\d+\n$/);
    const refused = await run(["apps", "list"]);
    assert.deepEqual([refused.code, refused.out], [1, ""]);
    assert.match(refused.err, /^error: nothing answers at http:\/\/127\.0\.0\.1:1 \(from NEBULA_SERVER\)/);
    assert.equal((await run(["apps", "lst"])).code, 1);
  });

  it("nebulactl ends with 130 at Ctrl-C, at a question and in a call", async () => {
    await using silent = createServer(() => {}); // takes connections and never answers
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const address = silent.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    // a terminal of its own, whose Ctrl-C is typed once the program waits
    const program = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen, typed = b"", False
while True:
    try:
        chunk = os.read(fd, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    if b"y/N" in seen and not typed:
        typed = True
        os.write(fd, b"\\x03")
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.stdout.write(seen.decode())
sys.exit(code)
`;
    const env = { ...process.env, HOME: "/nonexistent", NEBULA_SERVER: `http://127.0.0.1:${port}`, NEBULA_TOKEN: "x".repeat(43) };
    const asked = spawn("python3", ["-c", program, process.execPath, ENTRY, "devices", "delete", "pos-1"], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [shown, [askedCode]] = await Promise.all([text(asked.stdout), once(asked, "close")]);
    assert.deepEqual([askedCode, /Delete device pos-1\? \[y\/N\]/.test(shown), /error:.* interrupted/.test(shown)], [130, true, true], shown);

    const connected = once(silent, "connection");
    const calling = spawn(process.execPath, [ENTRY, "apps", "list"], { env, stdio: ["ignore", "pipe", "pipe"] });
    const ended = Promise.all([text(calling.stderr), once(calling, "close")]);
    const [socket] = await connected;
    calling.kill("SIGINT");
    const [err, [code]] = await ended;
    socket.destroy();
    assert.deepEqual([code, err], [130, "error: interrupted\n"]);
  }).timeout(60_000);

  it("nebulactl does not report an error for a reader that disconnects", async () => {
    const child = spawn(process.execPath, [ENTRY, "apps", "create", "--help"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    const [err, [code]] = await Promise.all([text(child.stderr), once(child, "close")]);
    assert.deepEqual([code, err], [0, ""]);
  });
});
