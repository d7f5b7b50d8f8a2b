import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nebulactl, type RunOptions } from "../../testing/test-cli.ts";
import { ADMIN, startTestServer, type TestServer } from "../../testing/test-server.ts";

describe("nebulactl and secret variables", () => {
  let server: TestServer;
  let folder: string;
  /** All that was printed, which no value may be in. */
  let printed = "";
  before(async () => {
    server = await startTestServer();
    folder = await mkdtemp(join(tmpdir(), "nebulactl-"));
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function run(args: readonly string[], options: RunOptions = {}) {
    const ran = await nebulactl(args, { ...options, env: { NEBULA_SERVER: server.http, NEBULA_TOKEN: ADMIN.token } });
    printed += ran.out + ran.err;
    return ran;
  }

  it("nebulactl sets, shows, keeps, changes and removes secret variables, and prints no value", async () => {
    const file = join(folder, "web.env");
    await writeFile(file, "TOKEN=hunter2\nPIN=hunter2-too\n");
    const created = await run(["apps", "create", "web", "--image", "shop:1", "--env", "A=1", "--secret-env-file", file]);
    assert.deepEqual(created, { code: 0, out: "app web  created 1\n", err: "" });

    const { out: yaml } = await run(["get", "apps", "web", "-o", "yaml"]);
    assert.match(yaml, /secret_env_vars:\n {2}PIN: secret:[0-9a-f]{8}\n {2}TOKEN: secret:[0-9a-f]{8}\n/);
    assert.equal((await run(["apply", "-f", "-"], { stdin: yaml })).out, "app web  unchanged 1\n");
    const plain = yaml.replace(/TOKEN: .*/, "TOKEN: hunter2");
    assert.equal((await run(["apply", "-f", "-"], { stdin: plain })).out, "app web  unchanged 1\n", "the same value");

    const changed = await run(["apply", "-f", "-"], { stdin: yaml.replace(/TOKEN: .*/, "TOKEN: hunter3") });
    assert.match(changed.out, /^app web {2}updated 1 -> 2\n {4}secret_env_vars {2}TOKEN: secret:[0-9a-f]{8} -> secret:[0-9a-f]{8}\n$/);
    const moved = await run(["apps", "update", "web", "--secret-env", "A=hunter4", "--unset-env", "A", "--unset-secret-env", "PIN"]);
    assert.match(moved.err, /^warning: --secret-env shows its value in the list of processes/);
    assert.match(moved.out, /env_vars +- A\n +secret_env_vars +\+ A=secret:[0-9a-f]{8}\n +- PIN\n/);
    for (const output of ["table", "json", "yaml"]) assert.match((await run(["apps", "info", "web", "-o", output])).out, /secret:[0-9a-f]{8}/);
    assert.doesNotMatch(printed, /hunter/);
  });

  it("nebulactl refuses the display of another app's value, and says where", async () => {
    await run(["apps", "create", "api", "--image", "shop:1", "--secret-env", "TOKEN=hunter2"]);
    const { out: yaml } = await run(["get", "apps", "api", "-o", "yaml"]);
    const { code, err } = await run(["apply", "-f", "-"], { stdin: yaml.replace("name: api", "name: copy") });
    assert.equal(code, 1);
    assert.match(err, /secret_env_vars\.TOKEN: secret:[0-9a-f]{8} is the display of a value, not a value/);
    assert.doesNotMatch(printed, /hunter/);
  });

  it("nebulactl reports an invalid secret variable without the value", async () => {
    const missing = join(folder, "missing.env");
    for (const [args, words] of [
      [["--secret-env", "hunter2"], /invalid variable in --secret-env: .*use NAME=value/],
      [["--secret-env-file", missing], /missing\.env can't be read/],
      [["--env", "B=1", "--secret-env", "B=hunter2"], /secret_env_vars\.B: is in env_vars, too/],
    ] as const) {
      const { code, err } = await run(["apps", "create", "new", "--image", "shop:1", ...args]);
      assert.equal(code, 1);
      assert.match(err, words);
    }
    assert.doesNotMatch(printed, /hunter/);
  });
});
